"""One gateway for the whole table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .rig import Rig, rigged


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rigged(tmp_path_factory.mktemp("failures")) as rig:
        yield rig


@pytest.fixture
def rig(shared: Rig) -> Iterator[Rig]:
    yield shared.fresh()
    shared.settled()
