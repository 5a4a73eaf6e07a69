"""Clients leave at random points: the ledger is the provider's bill all the same, and nothing stays held."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.usage.estimate import input_tokens

from .books import differences, summary
from .configs import config, secret
from .conftest import Report
from .load import Line, chat, dial
from .rig import Rig, rig, settled
from .sizes import sizes

STREAMED = "mock-fault/pace-20ms+tokens-40"
WHOLE = "mock-fault/slow-first-byte-600ms+tokens-40"
"""They last longer than the half second in which the gateway surely looks whether a client is still there."""
AT_ONCE = 100
SENT = 2
"""Tokens that an estimate may have beyond what the provider had charged: the events that begin and end an answer."""
CONFIG = config(
    dict.fromkeys((STREAMED, WHOLE), "price: {input: 1, output: 2}"),
    {"key": "limits: {concurrency: 1000, requests: 10M/min}, quotas: [{period: day, cost: 1000}]"},
)


DRAINED = CONFIG.replace("    retry_attempts: 0\n", "    retry_attempts: 0\n    on_disconnect: {at_once: 500}\n")


async def _leave(line: Line, request: bytes, chance: random.Random) -> str:
    """One request that its client does not wait for; where it left."""
    point = chance.choice(("in the body", "before the answer", "before the first byte", "mid-stream", "at the end"))
    if point == "in the body":
        line.write(request[: chance.randrange(1, len(request))])
        await asyncio.sleep(chance.uniform(0, 0.005))
        return point
    answer = line.send(request)
    if point == "before the answer":
        await asyncio.sleep(chance.uniform(0, 0.002))
    elif point == "before the first byte":
        await asyncio.sleep(chance.uniform(0, 0.5))
    elif point == "mid-stream":
        await line.received(chance.randrange(1, 12_000))
    else:
        await line.received(1 << 30)
    del answer
    return point


@dataclass(slots=True)
class Crowd:
    """Clients that all leave, and where they did."""

    left: Counter[str]
    given: int
    """What the gateway estimates for the input of each of their requests."""


async def _crowd(under: Rig, count: int) -> Crowd:
    """So many requests, each left at a point of its own; returns once nothing of them runs or is held."""
    chance = random.Random(count)
    # Both bodies are equally long, so that their estimates are the same.
    short = "x" * (20 + len(STREAMED) - len(WHOLE) + len(', "stream": true'))
    bodies = [
        chat(under.port, secret("key"), STREAMED, stream=True, text="x" * 20),
        chat(under.port, secret("key"), WHOLE, text=short),
    ]
    assert len({len(body.partition(b"\r\n\r\n")[2]) for body in bodies}) == 1
    # A worker's first call of a budget waits for what the ledger says of it: who left before that sent nothing.
    for line in await asyncio.gather(*(dial(under.port) for _ in range(12))):
        assert (await line.ask(bodies[1])).status == 200
        line.abort()
    left: Counter[str] = Counter()
    todo = iter(range(count))

    async def clients() -> None:
        for _ in todo:
            line = await dial(under.port)
            with suppress(ConnectionError):
                async with asyncio.timeout(30):
                    left[await _leave(line, chance.choice(bodies), chance)] += 1
            line.abort()

    await asyncio.gather(*(clients() for _ in range(AT_ONCE)))
    assert left.total() == count
    settled(lambda: [f"in flight: {running}"] if (running := under.in_flight()) else [], 20)
    settled(under.quiet, 90)
    return Crowd(left, input_tokens(bodies[0].partition(b"\r\n\r\n")[2]))


@sizes("count", 150, 10_000)
async def test_clients_that_leave(count: int, tmp_path: Path, report: Report) -> None:
    """Each attempt that was billed is booked once; what nobody counted is its estimated input and what was relayed."""
    with rig(CONFIG, tmp_path) as under:
        crowd = await _crowd(under, count)
        settled(lambda: differences(under.bill(), under.ledger(), crowd.given, sent=SENT), 30)
        bill, books = under.bill(), under.ledger()
        report(f"{dict(crowd.left)}; {summary(bill, books)}")
        assert under.in_rollups() == len(books)
        assert sum(row.reason == "client_disconnected" for row in books.values()) > count // 4
        assert {row.reason for row in books.values()} <= {"ok", "client_disconnected"}
        assert {row.outcome for row in bill.values()} == {"completed", "cancelled"}


@sizes("count", 100, 10_000)
async def test_clients_that_leave_a_provider_that_is_drained(count: int, tmp_path: Path, report: Report) -> None:
    """With `on_disconnect: drain` every answer is read to its end: the ledger is the bill, token for token."""
    with rig(DRAINED, tmp_path) as under:
        crowd = await _crowd(under, count)
        settled(lambda: differences(under.bill(), under.ledger(), crowd.given), 30)
        bill, books = under.bill(), under.ledger()
        report(f"{dict(crowd.left)}; {summary(bill, books)}")
        assert {row.outcome for row in bill.values()} == {"completed"}
        assert bill.keys() <= books.keys()
        counted = {key: (row.input_tokens, row.output_tokens) for key, row in books.items() if key in bill}
        assert counted == {key: (row.input_tokens, row.output_tokens) for key, row in bill.items()}
        assert {books[key].token_source for key in bill} == {"provider"}
        assert sum(row.reason == "client_disconnected" for row in books.values()) > count // 4
