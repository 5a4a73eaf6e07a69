"""Every test here comes in two sizes: a small one of `make test`, and the full one of `make endurance`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Report = Callable[[str], None]


@pytest.fixture
def report(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Report:
    """Print a figure that is worth reading even though nothing failed; only at full size."""
    full = request.node.get_closest_marker("endurance") is not None

    def tell(text: str) -> None:
        if full:
            with capsys.disabled():
                print(f"\n  {request.node.name}: {text}", flush=True)

    return tell
