"""Limits at full speed: each key gets what its limit says, all of it and no more."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from .configs import config, secret
from .conftest import Report
from .load import Tally, chat, client, clients
from .rig import rig
from .sizes import sizes

LIMITS = {"small": (20, 10), "middle": (60, 60), "large": (120, 30), "greedy": (40, 40)}
"""Requests per second, and the bucket."""
CLIENTS = {"small": 4, "middle": 6, "large": 10, "greedy": 24}
SHARE = 0.99
"""The least of what is allowed that every key must get at full size. Three seconds of a busy machine prove less."""
CONFIG = config(
    {"mock-small": ""},
    {name: f"limits: {{requests: {{rate: {rate}/s, burst: {burst}}}}}" for name, (rate, burst) in LIMITS.items()},
)


@sizes("seconds", 3, 60)
async def test_keys_at_their_limits(seconds: int, tmp_path: Path, report: Report) -> None:
    """Two workers at full speed admit at most the bucket and its refill, and nearly all of that, for every key."""
    share = SHARE if seconds >= 60 else 0.8
    with rig(CONFIG, tmp_path) as under:
        tallies = {name: Tally() for name in LIMITS}
        works = [
            partial(client, under.port, partial(chat, under.port, secret(name), "mock-small"), tallies[name])
            for name, count in CLIENTS.items()
            for _ in range(count)
        ]
        async with clients(works):
            await asyncio.sleep(seconds)
        # A store that did not answer in time leaves a call to the worker's own cap: what was decided so may be beyond.
        alone = under.gateway.metric("gateway_limit_decisions_total", decision="degraded")
        report(f"{alone:.0f} decided without the store")
        for name, (rate, burst) in LIMITS.items():
            tally = tallies[name]
            most = burst + rate * (tally.last - tally.first)
            report(f"{name}: {tally.admitted} admitted of {most:.1f} allowed, {tally.statuses[429]} refused")
            assert set(tally.statuses) <= {200, 429}
            assert not tally.broken
            assert tally.admitted <= most + 1 + alone
            if tally.statuses[429] or seconds >= 60:  # who was never refused did not ask for as much: a slow machine
                assert tally.admitted >= share * (burst + rate * seconds)
