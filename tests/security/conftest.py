"""A gateway with one key, before two scripted upstreams."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.app import unique
from tests.support.rig import Rig, keys_config, rigged, secret


@pytest.fixture(scope="module")
def token() -> str:
    return secret()


@pytest.fixture(scope="module")
def shared(token: str) -> Iterator[Rig]:
    with rigged(keys_config(f"name: {unique('all')}, secret: {token}")) as rig:
        yield rig


@pytest.fixture
def rig(shared: Rig) -> Rig:
    return shared.fresh()
