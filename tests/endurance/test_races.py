"""500 requests at once over HTTP, four workers, room for exactly ten: exactly ten are admitted, every time."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .configs import config, secret
from .conftest import Report
from .load import ANSWER_SECONDS, Line, chat, dial
from .rig import Rig, rig, settled
from .sizes import few_when_small, sizes

ROOM = 10
AT_ONCE = 500
QUICK, STUCK = "mock-fault/tokens-8", "mock-fault/hang"
KINDS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    # The price of ten requests; the price of ten answers of eight tokens, which is what their clients allow.
    "price": (QUICK, {}, "quotas: [{period: total, cost: 0.01}]", "{per_request: 0.001, input: 0, output: 0}"),
    "output": (QUICK, {"max_tokens": 8}, "quotas: [{period: day, cost: 0.00008}]", "{input: 0, output: 1}"),
    "quota": (QUICK, {}, "quotas: [{period: month, requests: 10}]", "{input: 1, output: 1}"),
    "limit": (QUICK, {}, "limits: {requests: 10/day}", "{input: 1, output: 1}"),
    # These give back what was not used, or end: so nothing ends until all are decided.
    "tokens": (STUCK, {"max_tokens": 1000}, "limits: {tokens: 10999/day}", "{input: 1, output: 1}"),
    "tokens-quota": (STUCK, {"max_tokens": 1000}, "quotas: [{period: day, tokens: 10999}]", "{input: 1, output: 1}"),
    "slots": (STUCK, {}, "limits: {concurrency: 10}", "{input: 1, output: 1}"),
}


async def _race(under: Rig, request: bytes) -> Counter[int]:
    """The answers' statuses, 0 of those that are stuck. Every connection is there before the first request goes out."""
    lines: list[Line] = []
    for _ in range(AT_ONCE // 50):
        lines += await asyncio.gather(*(dial(under.port) for _ in range(50)))
    answers = [line.send(request) for line in lines]
    pending = set(answers)
    async with asyncio.timeout(ANSWER_SECONDS):
        while len(pending) > ROOM:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    if b"hang" not in request and pending:
        await asyncio.wait(pending, timeout=ANSWER_SECONDS)
    found = Counter(answer.result().status if answer.done() else 0 for answer in answers)
    for line in lines:
        line.abort()
    await asyncio.sleep(0)  # it is the loop that closes them
    return found


@pytest.mark.parametrize("kind", few_when_small(KINDS, "price", "slots", "limit"))
@sizes("runs", 1, 20)
async def test_exactly_ten(runs: int, kind: str, tmp_path: Path, report: Report) -> None:
    """Nothing is overdrawn, and nothing is left over."""
    model, fields, settings, price = KINDS[kind]
    text = config({model: f"price: {price}"}, {f"run-{run}": settings for run in range(runs)})
    expected = Counter({0 if model is STUCK else 200: ROOM, 429: AT_ONCE - ROOM})
    with rig(text, tmp_path, workers=4) as under:
        for run in range(runs):
            assert await _race(under, chat(under.port, secret(f"run-{run}"), model, **fields)) == expected, f"run {run}"
            settled(under.quiet, 90)
        settled(lambda: [f"{n} of {ROOM * runs} booked"] if (n := len(under.ledger())) != ROOM * runs else [], 20)
        report(f"{runs} runs of {AT_ONCE}: exactly {ROOM} admitted in each")
