"""Workers of one machine pass quotas from the store to the ledger together, and back: never is more admitted than there
is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import GatewayError, InsufficientQuota
from gateway.limits.demand import NOTHING, Demand
from gateway.limits.limitset import LimitSet
from gateway.storage.redis import RedisClient
from gateway.types import LedgerState
from tests.limits.books import Bookkeeping, bookkeeping, upkept
from tests.limits.tills import Till, quota
from tests.storage.servers import Server, free_ports, servers
from tests.support.chaos import Break, ChaosProxy
from tests.support.waiting import eventually

AMOUNT = 20


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    with servers(free_ports(1)) as (found,):
        yield found


@pytest.fixture
async def found(server: Server, tmp_path: Path) -> AsyncIterator[Bookkeeping]:
    async with bookkeeping(server.url, tmp_path) as made:
        yield made


async def one(till: Till, limits: LimitSet) -> bool:
    """Whether one more call is admitted."""
    try:
        await till.begin(limits, Demand())
    except GatewayError:
        return False
    return True


async def rush(till: Till, limits: LimitSet, count: int) -> int:
    return sum(await asyncio.gather(*(one(till, limits) for _ in range(count))))


async def spend(till: Till, limits: LimitSet, until: asyncio.Task[int]) -> int:
    """Calls one after the other, as long as that lasts."""
    admitted = 0
    while not until.done():
        admitted += await one(till, limits)
        await asyncio.sleep(0.05)
    return admitted


async def used_up(till: Till, limits: LimitSet) -> bool:
    """The store decides again, and has nothing left."""
    try:
        reservation = await till.begin(limits, Demand())
    except InsufficientQuota:
        return till.gate.handover.alone("0") and not till.gate.dirty
    except GatewayError:
        return False
    pytest.fail(f"{reservation} was admitted")


@pytest.mark.parametrize("how", ["stall", "reset"])
async def test_one_that_is_cut_off_takes_the_others_along(found: Bookkeeping, server: Server, how: str) -> None:
    """A hard quota is as hard when one worker alone cannot reach the store, whether it hears nothing or is hung up on:
    all of them turn to the ledger, which knows what each of them holds; and together they go back."""
    with ChaosProxy(server.port) as proxy:
        cut, other = await found.pair(f"redis://127.0.0.1:{proxy.port}", server.url)
        limits, others = cut.sets(quota("requests", AMOUNT)), other.sets(quota("requests", AMOUNT))
        async with upkept(cut, other):
            admitted = await rush(cut, limits, 3) + await rush(other, others, 3)
            for till in (cut, other):
                till.end(next(iter(till.open.values())))
            proxy.fault = Break(how)
            rushing = asyncio.create_task(rush(cut, limits, AMOUNT))
            admitted += await spend(other, others, rushing) + await rushing
            admitted += await rush(other, others, AMOUNT)
            assert admitted == AMOUNT
            for till in (cut, other):
                for reservation in list(till.open.values()):
                    till.end(reservation)
            proxy.fault = None
            for till, mine in ((cut, limits), (other, others)):
                await eventually(lambda till=till, mine=mine: used_up(till, mine))  # type: ignore[misc]
            assert len(await found.rows()) == AMOUNT


async def test_a_call_that_is_never_sent_is_not_charged(found: Bookkeeping, server: Server) -> None:
    """While the store is away a call's record is booked at once, and taken back when it ends without having been sent:
    as with the store there is no request, no cost, and the whole of the quota is left."""
    (till,) = await found.pair(server.url)
    limits = till.sets(quota("requests", 3))
    async with upkept(till):
        server.kill()
        calls = [await till.begin(limits, Demand(), charged=(1, 100, 7)) for _ in range(3)]
        for reservation in calls:
            till.open.pop(reservation.call_id)
            till.gate.settle(reservation, NOTHING)
        server.start()
        await eventually(lambda: _answer(till.redis, found.redis))
        assert await rush(till, limits, 5) == 3
    rows = (await found.rows()).values()
    unsent = {row.call_id for row in rows if row.state == LedgerState.RELEASED}
    assert unsent == {reservation.call_id for reservation in calls}
    assert {(row.input_tokens, row.cost_nano_usd) for row in rows if row.call_id in unsent} == {(0, 0)}


async def _answer(*clients: RedisClient) -> bool:
    return all(client.available for client in clients)
