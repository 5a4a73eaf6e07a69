"""The two sizes of every test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sizes(names: str, small: Any, full: Any) -> pytest.MarkDecorator:
    """Parametrise with the small size, and with the full one that only `make endurance` runs."""
    return pytest.mark.parametrize(
        names,
        [
            pytest.param(small, id="small", marks=pytest.mark.slow),
            pytest.param(full, id="full", marks=pytest.mark.endurance),
        ],
    )


def few_when_small(names: Iterable[str], *kept: str) -> list[Any]:
    """Every name, of which `make test` plays only these: the others have their turn in `make endurance`."""
    return [pytest.param(name, marks=() if name in kept else pytest.mark.endurance) for name in names]
