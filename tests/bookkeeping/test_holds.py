"""Quotas decided by the ledger while Redis is away: never more than the amount, across workers, through restarts."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gateway.storage.errors import StoreUnavailable
from gateway.types import LedgerState
from gateway.usage.hold_journal import HoldJournal
from gateway.usage.holds import KEEP_SECONDS, LONGEST_SECONDS, Hold, Holds, Need
from gateway.usage.ledger_client import LedgerClient, LedgerUnreachable
from gateway.usage.ledger_server import LedgerServer
from gateway.usage.rpc import ledger_socket
from tests.bookkeeping.books import START, MemoryLedger, row
from tests.support.waiting import eventually

END = START + 1_000_000


def need(amount: int, wanted: int = 1, *, name: str = "ci", kind: str = "requests") -> Need:
    return Need("key", name, kind, START, END, amount, wanted)


async def nothing_waits() -> None:
    """Everything is booked."""


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Host:
    """A bookkeeper's server that can be killed and started again, and workers of its host."""

    def __init__(self, directory: Path, memory: MemoryLedger) -> None:
        self.directory = directory
        self.memory = memory
        self.clock = Clock()
        self.caught_up: Callable[[], Awaitable[None]] = nothing_waits
        self.clients: list[LedgerClient] = []

    async def start(self) -> None:
        self.holds = Holds(self.memory.used, HoldJournal(self.directory / "holds.journal", Hold), self.clock)
        self.holds.restore()
        path = ledger_socket(self.directory)
        self.server = LedgerServer(path, self.memory.used, self._caught_up, self.holds)
        await self.server.start()

    async def _caught_up(self) -> None:
        await self.caught_up()

    async def kill(self) -> None:
        """As `kill -9`: nothing is told to anybody."""
        await self.server.close()
        self.holds.journal.close()

    def worker(self, name: str = "", timeout: float = 5.0) -> LedgerClient:
        self.clients.append(LedgerClient(ledger_socket(self.directory), name, timeout=timeout))
        return self.clients[-1]


@pytest.fixture
async def host(tmp_path: Path, memory: MemoryLedger) -> AsyncIterator[Host]:
    found = Host(tmp_path, memory)
    await found.start()
    yield found
    for client in found.clients:
        await client.close()
    await found.kill()


def test_the_socket_is_ours_alone(host: Host) -> None:
    """Nobody but this user can ask or spend."""
    assert stat.S_IMODE(ledger_socket(host.directory).stat().st_mode) == 0o600


async def test_used_asks_the_ledger_for_each_window(host: Host, memory: MemoryLedger) -> None:
    """One answer for each question, in their order."""
    await memory.write([row("a"), row("b", key="other"), row("c", cost_nano_usd=7)])
    questions = [
        ("key", "ci", "requests", START, END),
        ("key", "other", "tokens", START, END),
        ("team", "research", "cost", START, END),
        ("key", "ci", "requests", START + 1, END),
    ]
    assert await host.worker().used(questions) == [2, 15, 2007, 0]


async def test_used_waits_for_what_is_not_booked(host: Host, memory: MemoryLedger) -> None:
    """A row that was under way when the question came is part of the answer."""
    arrived = asyncio.Event()

    async def caught_up() -> None:
        arrived.set()
        await asyncio.sleep(0.05)
        await memory.write([row("late")])

    host.caught_up = caught_up
    assert await host.worker().used([("key", "ci", "requests", START, END)]) == [1]
    assert arrived.is_set()


async def test_used_is_never_a_guess(host: Host, memory: MemoryLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the ledger cannot catch up, Redis cannot tell, or SQL is away, the question fails and says why."""
    monkeypatch.setattr("gateway.usage.ledger_server.WAIT_SECONDS", 0.1)
    client = host.worker()
    question = [("key", "ci", "requests", START, END)]

    async def never() -> None:
        await asyncio.Event().wait()

    async def no_redis() -> None:
        raise StoreUnavailable("down")

    for caught_up, reason in ((never, "behind"), (no_redis, "redis")):
        host.caught_up = caught_up
        with pytest.raises(LedgerUnreachable) as found:
            await client.used(question)
        assert found.value.reason == reason
    host.caught_up = nothing_waits
    memory.away = True
    with pytest.raises(LedgerUnreachable):
        await client.used(question)
    with pytest.raises(LedgerUnreachable):
        await client.hold("c", [need(10)])
    memory.away = False
    assert await client.used(question) == [0]
    assert len(host.holds) == 0


@pytest.mark.parametrize("run", range(20))
async def test_five_hundred_calls_with_room_for_ten(host: Host, memory: MemoryLedger, run: int) -> None:
    """Four workers, 500 calls at once: exactly ten are admitted, and SQL is hardly asked."""
    await memory.write([row(f"before{number}") for number in range(run)])
    memory.slow = 0.002 * (run % 3)
    workers = [host.worker(f"w{number}") for number in range(4)]
    answers = await asyncio.gather(
        *(workers[number % 4].hold(f"c{number}", [need(1000, name="other"), need(run + 10)]) for number in range(500))
    )
    assert sorted(set(answers)) == [-1, 1]
    assert answers.count(-1) == 10
    assert memory.questions <= 4


async def test_done_counts_until_the_ledger_has_the_row(host: Host, memory: MemoryLedger) -> None:
    """A finished call counts with what it used, first as a hold and then as a row, and never as both or neither."""
    worker = host.worker()
    assert await worker.hold("a", [need(100, 90, kind="tokens")]) == -1
    assert await worker.hold("b", [need(100, 11, kind="tokens")]) == 0
    await worker.done("a", [15])
    assert await worker.hold("c", [need(100, 86, kind="tokens")]) == 0
    assert await worker.hold("d", [need(100, 85, kind="tokens")]) == -1
    await worker.done("d", [0])
    await worker.used([])
    booked = row("a", input_tokens=10, output_tokens=5)
    await memory.write([booked])
    host.holds.booked([booked])
    assert len(host.holds) == 0
    assert await worker.hold("e", [need(100, 86, kind="tokens")]) == 0
    assert await worker.hold("f", [need(100, 85, kind="tokens")]) == -1


async def test_a_failed_attempts_row_does_not_end_the_hold(host: Host) -> None:
    """Only the row that is charged takes the place of what the call holds."""
    worker = host.worker()
    await worker.hold("a", [need(1)])
    await worker.done("a", [1])
    await worker.used([])
    host.holds.booked([row("a", 1, state=LedgerState.RELEASED)])
    assert await worker.hold("b", [need(1)]) == 0
    host.holds.booked([row("a", 2)])
    assert await worker.hold("c", [need(1)]) == -1


async def test_a_row_may_come_before_word_of_the_end(host: Host, memory: MemoryLedger) -> None:
    """The spool may be faster than the worker: the call is then not counted twice."""
    worker = host.worker()
    await worker.hold("a", [need(2)])
    booked = row("a")
    await memory.write([booked])
    host.holds.booked([booked])
    await worker.done("a", [1])
    assert await worker.hold("b", [need(2)]) == -1


async def test_a_row_ends_every_part_of_its_call(host: Host, memory: MemoryLedger) -> None:
    """What a call holds beyond its first set goes by a name of its own, and ends with the call's row all the same,
    whichever comes first."""
    worker, theirs = host.worker(), need(3, name="openai")
    for call_id in ("a", "a#1", "b#1"):
        assert await worker.hold(call_id, [theirs._replace(need=1)]) == -1
    await worker.done("a", [1])
    await worker.done("a#1", [1])
    await worker.used([])
    host.holds.booked([row("a"), row("b")])
    assert len(host.holds) == 1
    await worker.done("b#1", [1])
    await worker.used([])
    assert len(host.holds) == 0


async def test_what_is_booked_in_case_ends_no_hold(host: Host, memory: MemoryLedger) -> None:
    """The row that stands while a call runs, if its worker dies, may say less than the call uses in the end."""
    worker = host.worker()
    await worker.hold("a", [need(100, 90, kind="tokens")])
    host.holds.booked([row("a", state=LedgerState.ABANDONED)])
    await worker.done("a", [80])
    assert await worker.hold("b", [need(100, 21, kind="tokens")]) == 0
    booked = row("a", input_tokens=80, output_tokens=0)
    await memory.write([booked])
    host.holds.booked([booked])
    assert await worker.hold("b", [need(100, 20, kind="tokens")]) == -1


async def test_two_amounts_of_one_window_are_one_use(host: Host) -> None:
    """An owner with a quota that warns and a larger one that ends: a call counts once, before its end and after."""
    worker = host.worker()
    both = [need(10, 4), need(100, 4)]
    assert await worker.hold("a", both) == -1
    assert await worker.hold("b", both) == -1
    worker.charge("a", both)
    assert await worker.hold("c", both) == 0
    assert host.holds.claimed(both[0].window) == 8


async def test_what_redis_admitted_can_be_charged(host: Host) -> None:
    """A call that ends in the outage and had no hold counts from its end on."""
    worker = host.worker()
    worker.charge("from before", [need(0, 2)])
    assert await worker.hold("a", [need(2)]) == 0
    assert await worker.hold("b", [need(3)]) == -1


async def test_holds_survive_kill_9(host: Host) -> None:
    """After a restart the same calls hold the same amounts; a call that ended meanwhile is told on the way back in."""
    worker = host.worker("w1")
    for number in range(3):
        assert await worker.hold(f"c{number}", [need(3)]) == -1
    assert await worker.hold("c3", [need(3)]) == 0
    await host.kill()
    await worker.done("c0", [0])
    await host.start()
    await eventually(lambda: len(host.holds) == 2, "the word of the end")
    assert await worker.hold("c4", [need(3)]) == -1
    assert await worker.hold("c5", [need(3)]) == 0


async def test_calls_that_were_refused_meanwhile_are_not_remembered(host: Host) -> None:
    """While the bookkeeper is away every call that asks is refused: a worker keeps nothing of them, and all is well
    when it is back."""
    worker = host.worker("w1", timeout=0.05)
    await host.kill()
    for number in range(5):
        with pytest.raises(LedgerUnreachable):
            await worker.hold(f"c{number}", [need(1)])
    assert worker._unsaid == worker._open == {}
    await host.start()
    assert await host.worker("w2").hold("d", [need(1)]) == -1
    assert list(host.holds._holds) == ["d"]


async def test_a_dead_workers_holds_end(host: Host) -> None:
    """Its calls count two minutes longer, no more; those of others, and of one that came back, go on."""
    first, second = host.worker("w1"), host.worker("w2")
    assert await first.hold("a", [need(2)]) == -1
    assert await second.hold("b", [need(2)]) == -1
    await first.close()
    await eventually(lambda: host.holds._holds["a"].until < host.clock.now + LONGEST_SECONDS, "notice")
    host.clock.now += KEEP_SECONDS - 1
    host.holds.expire()
    assert len(host.holds) == 2
    host.clock.now += 2
    host.holds.expire()
    assert list(host.holds._holds) == ["b"]


async def test_a_worker_that_ends_says_its_last_word(host: Host) -> None:
    """What it said just before it closed the line has arrived."""
    worker = host.worker("w1")
    assert await worker.hold("a", [need(1)]) == -1
    await worker.done("a", [0])
    await worker.close()
    assert len(host.holds) == 0


async def test_a_caller_that_gave_up_holds_nothing(host: Host, memory: MemoryLedger) -> None:
    """A question that timed out or was cancelled leaves no hold behind, even when its answer was yes."""
    memory.slow = 0.3
    worker = host.worker(timeout=0.1)
    with pytest.raises(LedgerUnreachable):
        await worker.hold("a", [need(1)])
    task = asyncio.create_task(worker.hold("b", [need(1)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    memory.slow = 0.0
    patient = host.worker()
    await eventually(lambda: not host.holds._deciding, "every decision")
    assert await patient.hold("c", [need(1)]) == -1
    assert list(host.holds._holds) == ["c"]


async def test_repeating_a_hold_changes_nothing(host: Host) -> None:
    """The same call asks again: it has what it has."""
    worker = host.worker()
    assert await worker.hold("a", [need(1)]) == -1
    assert await worker.hold("a", [need(1)]) == -1
    assert await worker.hold("b", [need(1)]) == 0


async def test_the_journal_ends_with_the_holds(host: Host) -> None:
    """When no call is left it is empty: it does not grow through an outage."""
    worker = host.worker()
    for number in range(50):
        await worker.hold(f"c{number}", [need(1)])
        await worker.done(f"c{number}", [0])
    await worker.used([])
    assert (host.directory / "holds.journal").stat().st_size == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
async def test_a_full_disk_is_told_of_once(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """Every call is refused that cannot be noted, and its worker told; the log, which may be on the same disk, has one
    line of it."""
    client = host.worker("w")
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, host.holds.journal._fd)
    os.close(full)
    for at in range(20):
        with pytest.raises(LedgerUnreachable):
            await client.hold(f"call-{at}", [need(100)])
    told = [found.getMessage() for found in caplog.records if found.name == "gateway.usage"]
    assert len(told) == 1
    assert "No space left on device" in told[0]
    assert caplog.records[-1].exc_info is None


async def test_questions_wait_for_a_bookkeeper_that_starts(tmp_path: Path, memory: MemoryLedger) -> None:
    """A worker that asks before anybody listens is answered once somebody does; if nobody comes, it is told in
    time."""
    host = Host(tmp_path, memory)
    impatient = host.worker(timeout=0.2)
    with pytest.raises(LedgerUnreachable) as found:
        await impatient.used([])
    assert found.value.reason == "timeout"
    assert isinstance(found.value, OSError)
    question = asyncio.create_task(host.worker().used([("key", "ci", "requests", START, END)]))
    await asyncio.sleep(0.05)
    await host.start()
    assert await question == [0]
    for client in host.clients:
        await client.close()
    await host.kill()


async def test_nonsense_costs_only_its_connection(host: Host) -> None:
    """Bytes that are no question end that connection; others go on."""
    for nonsense in (b"\0\0\0\5hello", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"):
        reader, writer = await asyncio.open_unix_connection(ledger_socket(host.directory))
        writer.write(nonsense)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert await host.worker().used([]) == []


async def test_long_directories_have_a_short_socket(tmp_path: Path, memory: MemoryLedger) -> None:
    """A data directory whose path is too long for a socket works all the same."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    host = Host(deep, memory)
    await host.start()
    try:
        assert len(str(ledger_socket(deep))) <= 100
        assert await host.worker().used([]) == []
    finally:
        for client in host.clients:
            await client.close()
        await host.kill()
        ledger_socket(deep).parent.rmdir()
