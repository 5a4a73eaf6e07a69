"""The two sizes of every test."""

from __future__ import annotations

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
