"""SIGTERM while streams run: what was done until then is in the ledger when the gateway has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.usage.estimate import input_tokens

from .books import differences, summary
from .configs import config, secret
from .conftest import Report
from .load import Reply, chat, dial
from .rig import rig
from .sizes import sizes

SHORT, LONG = "mock-fault/pace-20ms+tokens-40", "mock-fault/pace-500ms+tokens-40"
CONFIG = config(
    dict.fromkeys((SHORT, LONG), "price: {input: 1, output: 2}"),
    {"key": "limits: {concurrency: 2000}, quotas: [{period: day, cost: 1000}]"},
)


@sizes("streams", 20, 1000)
async def test_sigterm_under_streams(streams: int, tmp_path: Path, report: Report) -> None:
    """Short streams end, long ones end with an error frame, all of them are booked, and the exit code is 0."""
    with rig(CONFIG, tmp_path, env={"GATEWAY_DRAIN_SECONDS": "2"}) as under:
        # Equally long, so that their estimates are the same.
        bodies = [
            chat(under.port, secret("key"), SHORT, stream=True, text="xx"),
            chat(under.port, secret("key"), LONG, stream=True, text="x"),
        ]
        lines = [await dial(under.port) for _ in range(streams)]
        answers = [line.send(bodies[at % 2]) for at, line in enumerate(lines)]
        await asyncio.gather(*(line.received(1) for line in lines))
        code = await asyncio.to_thread(under.gateway.stop)
        found = await asyncio.gather(*answers, return_exceptions=True)
        assert code == 0
        ends = [reply for reply in found if isinstance(reply, Reply)]
        assert len(ends) == streams, [one for one in found if not isinstance(one, Reply)][:3]
        assert all(b"data: [DONE]" in reply.body for reply in ends)
        broken = sum(b'"error"' in reply.body for reply in ends)
        assert broken >= streams // 2
        bill, books = under.bill(), under.ledger()
        given = input_tokens(bodies[0].partition(b"\r\n\r\n")[2])
        report(f"{streams - broken} streams ended, {broken} with an error frame; {summary(bill, books)}")
        assert len(books) == streams
        assert not differences(bill, books, given)
