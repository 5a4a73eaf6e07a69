"""When the store pauses, dies or only reads: calls go on, each limit as it was declared, and nobody waits for long."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from gateway.errors import InsufficientQuota, QuotaUnavailable, RateLimited
from gateway.limits.demand import NOTHING, Demand, Used
from gateway.limits.gate import Gate, Reservation
from gateway.limits.limitset import LimitSet
from gateway.limits.refusals import Downgrade
from gateway.storage.companions import Companions
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import connect
from gateway.types import RateLimit
from tests.limits.conftest import (
    PATIENT,
    Decisions,
    JournalOf,
    LedgerOf,
    Outside,
    about,
    admitted,
    ahead,
    attempt,
    event,
    fresh,
    held,
    key_of,
    limit_set,
    need,
    quota,
    rate,
    slots,
    take,
)
from tests.support.waiting import pause, until

AGE = 86400.0 * 365
AWAY = "redis://127.0.0.1:1"
"""Where nobody listens."""
WORKERS = 2
BOUND_SECONDS = 2.0
"""Ten times the client's timeout: a busy machine, but never a wait for the store."""


@contextmanager
def paused(server: EmbeddedRedis) -> Iterator[None]:
    pause(server.pid or 0)
    try:
        yield
    finally:
        os.kill(server.pid or 0, signal.SIGCONT)


@contextmanager
def killed(server: EmbeddedRedis) -> Iterator[None]:
    first = server.pid
    os.kill(first or 0, signal.SIGKILL)
    until(lambda: server._process is not None and server._process.poll() is not None)
    yield
    until(lambda: server.check() and server.pid != first)


@contextmanager
def read_only(server: EmbeddedRedis) -> Iterator[None]:
    """A replica of a master that is not there: it answers reads and refuses writes."""
    _command(server, "REPLICAOF", "127.0.0.1", "1")
    yield
    _command(server, "REPLICAOF", "NO", "ONE")


def _command(server: EmbeddedRedis, *command: str) -> None:
    async def run() -> None:
        client = connect(server.url, PATIENT)
        await client.execute(*command)
        await client.close()

    with ThreadPoolExecutor(1) as elsewhere:  # our caller's loop runs
        elsewhere.submit(lambda: asyncio.run(run())).result(20)


TROUBLES = {"paused": paused, "killed": killed, "read only": read_only}


async def timed(
    gate: Gate, limits: LimitSet, tokens: int = 0, *, demand: Demand | None = None
) -> Reservation | Exception:
    """What one call becomes; it must not take long."""
    began = time.monotonic()
    try:
        return await take(gate, limits, tokens, demand=demand)
    except Exception as error:  # the answer is what the test looks at
        return error
    finally:
        assert time.monotonic() - began < BOUND_SECONDS


async def many(gate: Gate, limits: LimitSet, count: int, tokens: int = 0) -> Sequence[Reservation | Exception]:
    return await asyncio.gather(*(timed(gate, limits, tokens) for _ in range(count)))


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_limits_fall_to_a_share(
    own_server: EmbeddedRedis, outside: Outside, decisions: Decisions, trouble: str
) -> None:
    """Whatever ails the store: a worker admits its share of every limit, says so, and a slot that is freed is free."""
    gate = outside.gate(WORKERS)
    limits = limit_set(rate("requests", 100, AGE), slots(6), rate("tokens", 1000, AGE))
    with TROUBLES[trouble](own_server):
        found = await many(gate, limits, 10, 10)
        running = admitted(found)
        assert len(running) == 6 // WORKERS
        assert all(reservation.degraded for reservation in running)
        assert {one.limit for one in found if isinstance(one, RateLimited)} == {"key:concurrency"}
        assert decisions.words().count("degraded") == 3 * 3
        assert decisions.words().count("refused") == 7
        gate.settle(running.pop(), Used(10))
        assert len(admitted(await many(gate, limits, 3, 10))) == 1
        assert dict(running[0].headers)[b"x-ratelimit-limit-requests"] == b"100"
    await outside.back()
    for reservation in list(gate.live.values()):
        gate.settle(reservation, Used(10))
    await outside.back()
    assert not (await take(gate, limits, 10)).degraded
    assert await held(outside.observer, limits, 0 + 1) == 1


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_share_has_the_rates_arithmetic(own_server: EmbeddedRedis, outside: Outside, trouble: str) -> None:
    """Requests and tokens of the share are counted, given back and refused with a wait as the store would."""
    gate = outside.gate(WORKERS)
    limits = limit_set(rate("requests", 20, AGE), rate("tokens", 1000, AGE))
    with TROUBLES[trouble](own_server):
        found = await many(gate, limits, 20, 60)
        assert len(admitted(found)) == 8, "480 of 500 tokens"
        (wait, *_), names = zip(*((e.retry_after, e.limit) for e in found if isinstance(e, RateLimited)), strict=True)
        assert set(names) == {"key:tokens"}
        assert 0 < (wait or 0) <= AGE
        gate.settle(admitted(found)[0], Used(1))
        assert len(admitted(await many(gate, limits, 20, 35))) == 2, "what the first did not use"
    await outside.back()


async def test_no_bucket_is_handed_out_twice(own_server: EmbeddedRedis, outside: Outside) -> None:
    """What all workers admit, with the store and without it, over several outages, is the limit."""
    name = fresh()
    gates = [outside.gate(WORKERS) for _ in range(WORKERS)]
    sets = [
        limit_set(rate("requests", 40, AGE), rate("tokens", 4000, AGE), name=name, worker=f"w{at}") for at in (0, 1)
    ]
    pairs = list(zip(gates, sets, strict=True))
    count = len(admitted(await attempt(*pairs[0], 9, 7)))
    count += len(admitted(await attempt(*pairs[1], 1, 7)))
    for _ in range(3):
        with paused(own_server):
            count += sum([len(admitted(await many(gate, limits, 5, 7))) for gate, limits in pairs])
        await outside.back()
    assert count == 40
    for gate, limits in pairs:
        found = await many(gate, limits, 40, 7)
        assert not admitted(found)
        assert not any(isinstance(one, Reservation) and one.degraded for one in found)
    assert round(await ahead(outside.observer, sets[0], 0)) == 40


async def test_what_was_taken_is_counted_when_the_store_is_back(own_server: EmbeddedRedis, outside: Outside) -> None:
    """Calls that the cap admitted count in the store, once, and what they do not use goes back there."""
    gate = outside.gate(WORKERS)
    limits = limit_set(rate("requests", 100, AGE), rate("tokens", 10_000, AGE))
    gate.settle(await take(gate, limits, 100), Used(100))
    await outside.back()
    with paused(own_server):
        found = admitted(await many(gate, limits, 6, 100))
    for _ in range(3):
        await outside.back()
        assert [round(await ahead(outside.observer, limits, at)) for at in (0, 1)] == [7, 700]
    for reservation in found:
        gate.settle(reservation, Used(30))
    await outside.back()
    assert [round(await ahead(outside.observer, limits, at)) for at in (0, 1)] == [7, 280]


async def test_a_debt_is_one_window_at_most(own_server: EmbeddedRedis, outside: Outside) -> None:
    """Ten workers that each took a whole bucket while the store was away leave the store no more than one in debt."""
    name = fresh()
    gates = [outside.gate(1) for _ in range(4)]
    with paused(own_server):
        for at, gate in enumerate(gates):
            limits = limit_set(rate("requests", 10, AGE), name=name, worker=f"w{at}")
            assert len(admitted(await many(gate, limits, 12))) == 10
    await outside.back()
    assert round(await ahead(outside.observer, limits, 0)) == 20


async def test_after_a_restart_the_count_goes_on(own_server: EmbeddedRedis, outside: Outside) -> None:
    """While the server is dead calls go on under the cap; its restart finds the shared count where it stood."""
    gate = outside.gate(WORKERS)
    limits = limit_set(rate("requests", 10, AGE))
    assert len(admitted(await attempt(gate, limits, 4))) == 4
    await outside.observer.execute("WAITAOF", 1, 0, 5000)
    with killed(own_server):
        assert len(admitted(await many(gate, limits, 20))) == 6 // WORKERS
    await outside.back()
    assert len(admitted(await many(gate, limits, 20))) == 3


async def test_one_that_is_cut_off_takes_the_others_along(outside: Outside) -> None:
    """A worker that alone cannot reach the store takes its share; the others then take theirs, not the whole limit,
    and all that was taken counts when the store is back for all of them."""
    companions, name = Companions(WORKERS), fresh()
    cut, other = (outside.gate(WORKERS, url=url, lookout=companions.lookout(at)) for at, url in enumerate((AWAY, None)))
    limits, others = (limit_set(rate("requests", 40, AGE), name=name, worker=f"w{at}") for at in range(WORKERS))
    assert len(admitted(await attempt(other, others, 10))) == 10
    assert sum([len(admitted(await many(cut, limits, 10))) for _ in range(3)]) == 40 // WORKERS
    found = admitted(await many(other, others, 60))
    assert len(found) == (40 - 10) // WORKERS
    assert all(reservation.degraded for reservation in found)
    await outside.end(cut)
    await outside.back()
    assert round(await ahead(outside.observer, others, 0)) == 10 + len(found)


# ---- as declared -----------------------------------------------------------------------------------------------------


async def test_each_limit_as_it_was_declared(own_server: EmbeddedRedis, outside: Outside) -> None:
    """Without the store `open` limits let everything pass, `closed` ones nothing, `bounded` ones the share."""
    gate = outside.gate(WORKERS)
    kinds = {mode: rate("requests", 4, AGE, on_store_failure=mode) for mode in ("open", "closed", "bounded")}
    seats = {mode: slots(4, on_store_failure=mode) for mode in kinds}
    with paused(own_server):
        for specs in (kinds, seats):
            assert len(admitted(await many(gate, limit_set(specs["open"]), 50))) == 50
            found = await many(gate, limit_set(specs["closed"]), 5)
            assert {type(one) for one in found} == {QuotaUnavailable}
            assert {getattr(one, "retry_after", None) for one in found} == {5.0}
            assert len(admitted(await many(gate, limit_set(specs["bounded"]), 50))) == 2
        mixed = limit_set(kinds["open"], seats["bounded"])
        assert len(admitted(await many(gate, mixed, 9))) == 2
        found = await many(gate, limit_set(kinds["bounded"], seats["closed"]), 3)
        assert {type(one) for one in found} == {QuotaUnavailable}
    await outside.back()


async def test_quotas_are_asked_of_the_ledger(own_server: EmbeddedRedis, outside: Outside, ledger: LedgerOf) -> None:
    """Without the store the ledger holds and charges: a budget stays hard, and what is left is used to the end."""
    gate = outside.gate(WORKERS)
    ledger.spent = 20
    limits = limit_set(quota("tokens", 100), rate("tokens", 10_000, AGE))
    with paused(own_server):
        found = await many(gate, limits, 10, 25)
        assert [len(admitted(found)), sum(isinstance(one, InsufficientQuota) for one in found)] == [3, 7]
        gate.settle(admitted(found)[0], Used(5))
        assert ledger.spent == 25
        assert len(admitted(await many(gate, limits, 3, 25))) == 1, "25 spent and 50 held: one more"
        for reservation in list(gate.live.values()):
            gate.settle(reservation, Used(25))
        assert (ledger.spent, ledger.held) == (100, {})
    await outside.back()
    refused = await timed(gate, limits, 1)
    assert isinstance(refused, InsufficientQuota), "the store's counter was made anew from the ledger"


@pytest.mark.parametrize(("mode", "wanted"), [("closed", QuotaUnavailable), ("open", Reservation)])
async def test_store_and_ledger_away(
    own_server: EmbeddedRedis, outside: Outside, ledger: LedgerOf, mode: str, wanted: type
) -> None:
    """Money fails closed unless it was declared open; what the refused call held of the share is free again."""
    gate = outside.gate(WORKERS)
    ledger.away = True
    limits = limit_set(quota("cost", 10**9, on_store_failure=mode), slots(4), rate("tokens", 100, AGE))
    with paused(own_server):
        for _ in range(6):
            found = await timed(gate, limits, 25)
            assert isinstance(found, wanted), found
            if isinstance(found, Reservation):
                gate.settle(found, Used(0))
        ledger.away = False
        assert len(admitted(await many(gate, limits, 6, 25))) == 2
    await outside.back()


async def test_a_used_up_quota_throttles_without_the_store(
    own_server: EmbeddedRedis, outside: Outside, ledger: LedgerOf
) -> None:
    """Beyond its amount calls go on at this worker's share of the rate, which the store hears of afterwards; what a
    call that is sent away held of the ledger is free."""
    gate = outside.gate(WORKERS)
    ledger.spent = 5
    limits = limit_set(quota("requests", 7, action="throttle", throttle=RateLimit(4, AGE)))
    with paused(own_server):
        found = await many(gate, limits, 10)
        assert len(admitted(found)) == (7 - 5) + 4 // WORKERS
        waits = [one.retry_after or 0 for one in found if isinstance(one, RateLimited)]
        assert len(waits) == 6
        assert all(0 < wait <= AGE for wait in waits)
        assert len(ledger.held) == 4
    await outside.back()
    assert round(await ahead(outside.observer, limits, 1)) == 4 // WORKERS


async def test_a_downgrade_works_without_the_store(
    own_server: EmbeddedRedis, outside: Outside, ledger: LedgerOf
) -> None:
    """A used-up quota that switches to another model does so in an outage, too."""
    gate = outside.gate(WORKERS)
    ledger.spent = 100
    limits = limit_set(quota("tokens", 100, action="downgrade", downgrade_to="small"))
    with paused(own_server):
        found = await timed(gate, limits, 1)
        assert isinstance(found, Downgrade)
        assert found.model == "small"
        assert isinstance(await timed(gate, limits.relaxed(), 1), Reservation)
    await outside.back()


# ---- what is on record -----------------------------------------------------------------------------------------------


async def test_the_journal_has_what_the_store_has_not(
    own_server: EmbeddedRedis, outside: Outside, journal: JournalOf
) -> None:
    """Of calls under way and of calls that end while the store is away, everything is written down at once."""
    gate = outside.gate(WORKERS)
    limits = limit_set(slots(50))
    early = await take(gate, limits, name=fresh("early"))
    with paused(own_server):
        late = await timed(gate, limits)
        assert isinstance(late, Reservation)
        assert event(late.call_id) in journal.events, "if this worker dies now, it is booked"
        gate.note(late, about("later"), event("attempt"))
        gate.settle(late, Used(), event("late"))
        assert journal.events[-2:] == [event("attempt"), event("late")]
        gate.note(early, about("second"), event("first"))
        gate.settle(early, Used(), event("early"))
        await gate.close()
        assert {event("first"), event("early")} <= set(journal.events)
    await outside.back()
    assert await held(outside.observer, limits, 0) == 0


async def test_what_was_never_sent_is_withdrawn(
    own_server: EmbeddedRedis, outside: Outside, journal: JournalOf
) -> None:
    """A call that ends unsent leaves nothing to be charged, whenever its record went to the journal; one that has sent
    something, or whose attempt has been booked, does not take that back."""
    gate = outside.gate(WORKERS)
    limits = limit_set(slots(50))
    early, failed, ended = [await take(gate, limits, name=fresh(word)) for word in ("early", "failed", "ended")]
    with paused(own_server):
        late, sent = [await timed(gate, limits) for _ in range(2)]
        assert isinstance(late, Reservation)
        assert isinstance(sent, Reservation)
        for reservation in (early, failed, ended):
            gate.note(reservation, about(f"under way {reservation.call_id}"))
        gate.settle(ended, NOTHING)
        await gate.close()
        assert event(f"under way {early.call_id}") in journal.events
        assert event(f"under way {ended.call_id}") not in journal.events, "it was over before that was written"
        gate.note(failed, about("next"), event("failed"))
        for reservation in (early, late, failed):
            gate.settle(reservation, NOTHING)
        gate.settle(sent, Used(), event("sent"))
        await gate.close()
        assert journal.withdrawn == [event(f"under way {early.call_id}"), event(late.call_id)]
    await outside.back()


async def test_what_another_set_refuses_is_not_journaled(
    own_server: EmbeddedRedis, outside: Outside, journal: JournalOf
) -> None:
    """The record is written once all that binds the call has admitted it: it may be asked for again as another one."""
    gate = outside.gate(WORKERS)
    first, second = limit_set(slots(50)), limit_set(rate("requests", 2, AGE))
    with paused(own_server):
        for wanted in (1, 1):
            reservation = Reservation(fresh("c"))
            with suppress(RateLimited):
                await gate.reserve(reservation, [first, second], Demand(), about(reservation.call_id))
            assert len(journal.events) == wanted
        assert len(gate.live) == 1
        assert not journal.withdrawn
    await outside.back()


async def test_every_part_of_a_call_is_told(own_server: EmbeddedRedis, outside: Outside, ledger: LedgerOf) -> None:
    """What calls hold and used of late counts in the ledger, of quotas of the caller as of those of its attempts."""
    gate = outside.gate(WORKERS)
    mine = limit_set(quota("tokens", 1000))
    theirs = limit_set(quota("requests", 100, scope="provider"), quota("tokens", 1000, scope="provider"))
    open_one, ended, free = Reservation(fresh("c")), Reservation(fresh("c")), Reservation(fresh("c"))
    for reservation, sets in ((open_one, [mine]), (ended, [mine]), (free, [limit_set(slots(9))])):
        await gate.reserve(reservation, sets, need(30), about(reservation.call_id))
        await gate.reserve(reservation, [theirs], need(30))
    gate.settle(ended, Used(7), event("ended"))
    gate.settle(free, Used(8), event("free"))
    with paused(own_server):
        assert isinstance(await timed(gate, mine), Reservation)
        told = {name.partition("#")[0]: needs for name, needs in ledger.charged.items()}
        found = {
            call.call_id: sorted((need[0], need[2], need[6]) for need in told[call.call_id])
            for call in (open_one, ended, free)
        }
    assert found == {
        call.call_id: [*own, ("provider", "requests", 1), ("provider", "tokens", tokens)]
        for call, own, tokens in (
            (open_one, [("key", "tokens", 30)], 30),
            (ended, [("key", "tokens", 7)], 7),
            (free, [], 8),
        )
    }
    await outside.back()


async def test_degraded_calls_are_not_renewed(own_server: EmbeddedRedis, outside: Outside) -> None:
    """A call admitted by the local cap has no lease to renew: renewing would take a slot from someone else."""
    gate = outside.gate(WORKERS)
    limits = limit_set(slots(4))
    with paused(own_server):
        reservation = await timed(gate, limits)
    assert isinstance(reservation, Reservation)
    assert reservation.degraded
    await outside.back()
    await outside.observer.execute("DEL", key_of(limits, 0))
    gate.renew(reservation)
    await gate.close()
    assert await held(outside.observer, limits, 0) == 0


async def test_upkeep_survives_the_outage(own_server: EmbeddedRedis, outside: Outside) -> None:
    """Rounds of upkeep while the store is away neither raise nor wait long, and lose nothing that is to be repeated."""
    gate = outside.gate(WORKERS)
    limits = limit_set(rate("tokens", 1000, AGE))
    reservation = await take(gate, limits, 500)
    with paused(own_server):
        gate.settle(reservation, Used(100))
        await gate.close()
        for _ in range(5):
            began = time.monotonic()
            await outside.upkeep[0].tick()
            assert time.monotonic() - began < BOUND_SECONDS
        assert len(gate.unsent) == 1
    await outside.back()
    assert gate.unsent == {}
