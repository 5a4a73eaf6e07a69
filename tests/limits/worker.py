"""A worker process for tests: `python -m tests.limits.worker URL DATA_DIR`. Orders and answers are lines of JSON."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import GatewayError
from gateway.limits.demand import Demand
from gateway.limits.gate import Reservation
from gateway.limits.limitset import LimitSet
from gateway.limits.workers import worker_name
from gateway.metering import Metering
from gateway.settings import Settings
from gateway.storage.redis import connect
from gateway.telemetry.base import SilentObserver
from gateway.types import LedgerState, LimitSpec, QuotaSpec
from tests.limits.tills import PATIENT, Boot, Till
from tests.support.waiting import eventually


class Clerk:
    """Does what it is told."""

    def __init__(self, till: Till, limits: LimitSet) -> None:
        self._till = till
        self._limits = limits

    async def reserve(self, order: dict[str, Any]) -> dict[str, int]:
        """`count` calls at once; how many of them were admitted, and how the others were refused."""
        demand = Demand(**order.get("demand", {}))
        charged = charged_by(order)
        calls = [self._till.begin(self._limits, demand, charged=charged) for _ in range(order["count"])]
        found = await asyncio.gather(*calls, return_exceptions=True)
        words: Counter[str] = Counter()
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, GatewayError):
                raise one
            words["admitted" if isinstance(one, Reservation) else type(one).__name__] += 1
        return dict(words)

    async def settle(self, order: dict[str, Any]) -> int:
        """All that is open; how many calls that was."""
        found = list(self._till.open.values())
        for reservation in found:
            self._till.end(reservation, order.get("tokens", 0), order.get("cost", 0))
        await self._till.done()
        return len(found)

    async def release(self, order: dict[str, Any]) -> int:
        """All that is open, as if it had never been."""
        del order
        found = list(self._till.open.values())
        self._till.open.clear()
        for reservation in found:
            self._till.gate.live.pop(reservation.call_id, None)
            self._till.gate.release(reservation)
        await self._till.done()
        return len(found)

    async def note(self, order: dict[str, Any]) -> int:
        """A checkpoint of all that is open."""
        charged = charged_by(order)
        for call_id, reservation in self._till.open.items():
            amounts = {"input_tokens": charged[1], "cost_nano_usd": charged[2]}
            event = self._till.event(call_id, LedgerState.ABANDONED, **amounts)
            self._till.gate.note(reservation, (event, charged))
        await self._till.done()
        return len(self._till.open)

    async def calls(self, order: dict[str, Any]) -> list[str]:
        """What is open, once the bookkeeper is asked nothing more: before it answers it looks for dead workers."""
        del order
        await eventually(lambda: self._till.gate._seeder.compare.idle)
        return list(self._till.open)


def charged_by(order: dict[str, Any]) -> tuple[int, int, int]:
    """What a call is charged with if this process dies."""
    requests, tokens, cost = order.get("charged", (1, 0, 0))
    return requests, tokens, cost


async def main(url: str, data_dir: Path) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    hello = msgspec.json.decode(await reader.readline())
    specs: list[LimitSpec | QuotaSpec] = [
        *msgspec.convert(hello["limits"], list[LimitSpec]),
        *msgspec.convert(hello["quotas"], list[QuotaSpec]),
    ]
    redis, name = connect(url, PATIENT), worker_name()
    metering = Metering(Boot(Settings(data_dir=data_dir)), redis, SilentObserver(), time.monotonic, name)
    await metering.start()
    till = Till(redis, metering, name)
    upkeep = asyncio.create_task(metering.run())
    clerk = Clerk(till, till.sets(*specs))
    say({"name": name})
    while line := await reader.readline():
        order = msgspec.json.decode(line)
        say(await getattr(clerk, order["do"])(order))
    upkeep.cancel()


def say(answer: Any) -> None:
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
