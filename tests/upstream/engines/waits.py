"""Waiting for something to stop happening."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


async def settled(value: Callable[[], int]) -> None:
    """Until this number is above 0 and has not grown for 60 ms; AssertionError after 10 s."""
    last, same = 0, 0
    for _ in range(1000):
        now = value()
        same = same + 1 if now == last and now else 0
        if same == 6:
            return
        last = now
        await asyncio.sleep(0.01)
    raise AssertionError("it goes on growing")
