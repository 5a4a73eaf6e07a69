"""SIGTERM while streams run: each one ends with its last word, and what was done until then is in the ledger."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from gateway.usage.estimate import input_tokens
from tests.support.gateway import eventually

from .books import differences, summary
from .configs import config, secret
from .conftest import Report
from .load import Line, Reply, Tally, chat, dial
from .rig import Rig, rig
from .sizes import sizes

SHORT, LONG = "mock-fault/pace-20ms+tokens-40", "mock-fault/pace-500ms+tokens-40"
MIDDLE = "mock-fault/pace-100ms+tokens-50"
CONFIG = config(
    dict.fromkeys((SHORT, MIDDLE, LONG, "mock-small"), "price: {input: 1, output: 2}"),
    {
        "key": "limits: {concurrency: 2000}, quotas: [{period: day, cost: 1000}]",
        "knock": "limits: {concurrency: 5}",
    },
)


async def begin(under: Rig, bodies: Sequence[bytes]) -> list[asyncio.Future[Reply]]:
    """Begin these streams, one a connection; they are open when this returns."""
    lines = [await dial(under.port) for _ in bodies]
    answers = [line.send(body) for line, body in zip(lines, bodies, strict=True)]
    await asyncio.gather(*(line.received(1) for line in lines))
    return answers


async def knock(under: Rig, tally: Tally) -> None:
    """One small call after the other, each on a connection of its own, until nobody answers any more."""
    body = chat(under.port, secret("knock"), "mock-small")
    line: Line | None = None
    while True:
        try:
            line = await dial(under.port)
            tally.add(await line.ask(body))
        except ConnectionError:
            return
        finally:
            if line is not None:
                line.abort()


def whole(found: Sequence[Reply | BaseException]) -> list[Reply]:
    """The answers, each of which came to its end. Raises AssertionError."""
    ends = [reply for reply in found if isinstance(reply, Reply)]
    assert len(ends) == len(found), [one for one in found if not isinstance(one, Reply)][:3]
    assert all(b"data: [DONE]" in reply.body for reply in ends)
    return ends


@sizes("streams", 20, 1000)
async def test_sigterm_under_streams(streams: int, tmp_path: Path, report: Report) -> None:
    """Short streams end, long ones end with an error frame, all of them are booked, and the exit code is 0."""
    with rig(CONFIG, tmp_path, env={"GATEWAY_DRAIN_SECONDS": "2"}) as under:
        # Equally long, so that their estimates are the same.
        kinds = [
            chat(under.port, secret("key"), SHORT, stream=True, text="xx"),
            chat(under.port, secret("key"), LONG, stream=True, text="x"),
        ]
        answers = await begin(under, [kinds[at % 2] for at in range(streams)])
        code = await asyncio.to_thread(under.gateway.stop)
        found = await asyncio.gather(*answers, return_exceptions=True)
        assert code == 0
        ends = whole(found)
        broken = sum(b'"error"' in reply.body for reply in ends)
        assert broken >= streams // 2
        bill, books = under.bill(), under.ledger()
        given = input_tokens(kinds[0].partition(b"\r\n\r\n")[2])
        report(f"{streams - broken} streams ended, {broken} with an error frame; {summary(bill, books)}")
        assert len(books) == streams
        assert not differences(bill, books, given)
        assert "Traceback" not in under.gateway.stderr()


@sizes("streams", 20, 1000)
async def test_streams_finish_within_the_drain(streams: int, tmp_path: Path, report: Report) -> None:
    """Readiness goes off at once; calls of the grace are served, later ones get `draining`; every stream that ends in
    time ends as if nothing had happened, and the provider's bill is the ledger."""
    env = {"GATEWAY_DRAIN_GRACE_SECONDS": "2", "GATEWAY_DRAIN_SECONDS": "120"}
    with rig(CONFIG, tmp_path, env=env) as under:
        answers = await begin(under, [chat(under.port, secret("key"), MIDDLE, stream=True)] * streams)
        assert under.gateway.pid is not None
        os.kill(under.gateway.pid, signal.SIGTERM)
        tally = Tally()
        await asyncio.gather(knock(under, tally), asyncio.to_thread(until_not_ready, under))
        ends = whole(await asyncio.gather(*answers, return_exceptions=True))
        assert not any(b'"error"' in reply.body for reply in ends)
        assert set(tally.statuses) <= {200, 503}
        assert set(tally.codes) == {"draining"}
        assert await asyncio.to_thread(under.gateway.ended, 60) == 0
        bill, books = under.bill(), under.ledger()
        report(f"{streams} streams ended; meanwhile {dict(tally.statuses)}; {summary(bill, books)}")
        assert {row.state for row in books.values()} == {"settled"}
        assert {row.token_source for row in books.values()} == {"provider"}
        assert books.keys() == bill.keys()
        assert not differences(bill, books, 0)


def until_not_ready(under: Rig) -> None:
    """The moment at which a load balancer would take notice."""
    eventually(lambda: under.gateway.get("/readyz", timeout=30).status == 503, "readiness off", 30)
