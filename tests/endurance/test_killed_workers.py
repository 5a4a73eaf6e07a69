"""Workers are killed under load: the ledger is the provider's bill all the same, and nothing stays held."""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from pathlib import Path

from gateway.usage.estimate import input_tokens

from .books import differences, summary
from .configs import config, secret
from .conftest import Report
from .load import Tally, always, chat, client, clients
from .rig import Rig, rig, settled
from .sizes import sizes

MODEL = "mock-fault/pace-10ms+tokens-40"
CLIENTS = 24
CONFIG = config(
    {MODEL: "price: {input: 1, output: 2, per_request: 0.001}"},
    {
        "bound": "limits: {concurrency: 100, requests: 100k/min, tokens: 10M/min}, quotas: [{period: day, cost: 1000}]",
        "free": "limits: {}",
    },
)


def _worker_with_calls(under: Rig, chance: random.Random) -> int:
    """Any worker, once all are up again and calls run."""
    deadline = time.monotonic() + 30
    while len(workers := under.children("worker")) < 2 or not under.left_in_store():
        assert time.monotonic() < deadline, "the workers did not come back"
        time.sleep(0.05)
    return chance.choice(workers)


@sizes("kills", 2, 50)
async def test_kill_9_of_workers_under_streaming_load(kills: int, tmp_path: Path, report: Report) -> None:
    """After each attempt that was billed has one row, abandoned ones at most the bill; every slot is free."""
    chance = random.Random(kills)
    with rig(CONFIG, tmp_path) as under:
        requests = {name: chat(under.port, secret(name), MODEL, stream=True) for name in ("bound", "free")}
        tally = Tally()

        bodies = [requests["bound" if number % 4 else "free"] for number in range(CLIENTS)]
        async with clients([partial(client, under.port, always(body), tally) for body in bodies]):
            for _ in range(kills):
                await asyncio.sleep(chance.uniform(0.1, 0.6))
                under.kill(await asyncio.to_thread(_worker_with_calls, under, chance))
            await asyncio.sleep(0.5)
        ended = time.monotonic()
        settled(under.quiet, 90)
        freed = time.monotonic() - ended
        given = input_tokens(requests["bound"].partition(b"\r\n\r\n")[2])
        settled(lambda: differences(under.bill(), under.ledger(), given), 30)
        bill, books = under.bill(), under.ledger()
        assert under.in_rollups() == len(books)
        abandoned = [row for row in books.values() if row.state == "abandoned"]
        # A worker that has only just come back may be killed before it has a call.
        assert abandoned or not tally.broken
        report(f"{tally.admitted} streams, {tally.broken} broken; all free after {freed:.1f} s; {summary(bill, books)}")
        assert tally.admitted > 0
        assert not tally.failures
