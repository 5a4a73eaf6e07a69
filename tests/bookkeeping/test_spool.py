"""The local spool: what was confirmed is booked exactly once, whatever dies or fills up."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.telemetry.bookkeeping import BookkeepingMetrics
from gateway.usage.booking import Booker, LedgerAway
from gateway.usage.events import encode_event
from gateway.usage.spool import RESERVE_BYTES, Spool
from gateway.usage.spool_files import SpoolName, frame, frames, start_time
from gateway.usage.spool_reader import SpoolReader
from tests.bookkeeping.books import MemoryLedger, fill, row, tiny_file_system
from tests.support.waiting import eventually

WRITER = """
import sys, asyncio
from pathlib import Path
from gateway.usage.spool import Spool
from gateway.usage.events import encode_event
from tests.bookkeeping.books import row

async def main():
    spool = Spool(Path(sys.argv[1]), "w1")
    for number in range(1_000_000):
        spool.append([encode_event([row(f"c{number:07}")])])
        await spool.flush()
        sys.stdout.write(f"c{number:07}\\n")
        sys.stdout.flush()

asyncio.run(main())
"""


@pytest.fixture
def reader(tmp_path: Path, booker: Booker, metrics: BookkeepingMetrics) -> SpoolReader:
    return SpoolReader(tmp_path, booker, metrics)


def event(call_id: str) -> bytes:
    return encode_event([row(call_id)])


def names(directory: Path, suffix: str) -> list[Path]:
    return sorted(directory.glob(f"spool-*{suffix}"))


async def test_flushed_events_are_readable_at_once(tmp_path: Path, reader: SpoolReader, memory: MemoryLedger) -> None:
    """After `flush` the reader books events from the file that is still being written, and each only once."""
    spool = Spool(tmp_path, "w1")
    spool.append([event("a"), event("b")])
    await spool.flush()
    assert await reader.run_once() == 2
    spool.append([event("c")])
    await spool.flush()
    assert await reader.run_once() == 1
    assert {call for call, _ in memory.rows} == {"a", "b", "c"}
    spool.close()
    assert await reader.run_once() == 0
    assert names(tmp_path, "") == []


async def test_who_waits_does_not_wait_for_company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that waits until its event is on disk has waited for the store before: gathering ends for it."""
    monkeypatch.setattr("gateway.usage.spool.GATHER_SECONDS", 3600.0)
    spool = Spool(tmp_path, "w1")
    for name in "ab":
        spool.append([event(name)])
        await asyncio.wait_for(spool.flush(), 20)
    assert spool.pending == 0
    spool.append([event("c")])
    assert spool.pending == 1
    await asyncio.wait_for(spool.flush(), 20)
    spool.close()


async def test_files_rotate_by_age_and_disappear(tmp_path: Path, reader: SpoolReader, memory: MemoryLedger) -> None:
    """A file is handed over about a second after its first event, without another one to push it."""
    spool = Spool(tmp_path, "w1")
    spool.append([event("a")])
    await eventually(lambda: names(tmp_path, ".ready"), "a closed file")
    assert not names(tmp_path, ".open")
    await reader.run_once()
    assert not names(tmp_path, ".ready")
    assert len(memory.rows) == 1
    spool.close()


async def test_files_rotate_by_size(tmp_path: Path) -> None:
    """More than a megabyte is never in one file for long."""
    spool = Spool(tmp_path, "w1")
    for number in range(12):
        spool.append([event(f"{number}-{at:0200}") for at in range(1000)])
        await spool.flush()
    assert len(names(tmp_path, ".ready")) >= 2
    spool.close()


async def test_sql_away_keeps_files(tmp_path: Path, reader: SpoolReader, memory: MemoryLedger) -> None:
    """While the database is away the files stay; then they are booked and removed."""
    spool = Spool(tmp_path, "w1")
    spool.append([event("a")])
    spool.close()
    memory.away = True
    with pytest.raises(LedgerAway):
        await reader.run_once()
    assert names(tmp_path, ".ready")
    memory.away = False
    assert await reader.run_once() == 1
    assert not names(tmp_path, ".ready")


async def test_the_log_says_when_files_are_booked_again(
    tmp_path: Path, reader: SpoolReader, memory: MemoryLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """The trouble and its end, once each."""
    spool = Spool(tmp_path, "w1")
    spool.append([event("a")])
    spool.close()
    memory.away = True
    task = asyncio.create_task(reader.run())
    await eventually(lambda: memory.writes >= 2, "two tries")
    memory.away = False
    await eventually(lambda: "booked again" in caplog.text, "the end of it")
    task.cancel()
    told = [found.getMessage() for found in caplog.records if found.name == "gateway.usage"]
    assert told == ["spooled ledger events wait: Away", "spooled ledger events are booked again"]


async def test_a_file_that_was_booked_but_not_removed_comes_again(
    tmp_path: Path, booker: Booker, memory: MemoryLedger, metrics: BookkeepingMetrics
) -> None:
    """A reader that died between commit and removal: its successor books the same rows, which changes nothing."""
    spool = Spool(tmp_path, "w1")
    spool.append([event("a"), event("b")])
    spool.close()
    content = {path: path.read_bytes() for path in names(tmp_path, ".ready")}
    await SpoolReader(tmp_path, booker, metrics).run_once()
    for path, data in content.items():
        path.write_bytes(data)
    await SpoolReader(tmp_path, booker, metrics).run_once()
    assert len(memory.rows) == 2
    assert metrics.counted("duplicate") == 2
    assert not names(tmp_path, ".ready")


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 30, -1])
async def test_a_torn_tail_is_left_out(tmp_path: Path, reader: SpoolReader, memory: MemoryLedger, cut: int) -> None:
    """A dead writer's last frame, cut anywhere: everything before it is booked, and the file goes."""
    whole, torn = frame(event("a")), frame(event("b"))
    path = tmp_path / f"spool-w1-{dead_pid()}-1.x-00000001.open"
    path.write_bytes(whole + torn[:cut])
    assert await reader.run_once() == 1
    assert {call for call, _ in memory.rows} == {"a"}
    assert not path.exists()


@pytest.mark.parametrize("damage", [b"\0" * 64, b"\xff" * 64])
async def test_damage_is_no_frame(damage: bytes) -> None:
    """Zeros after a power cut, or nonsense: reading ends there."""
    good = frame(event("a"))
    assert [end for _, end in frames(good + damage)] == [len(good)]
    flipped = bytearray(good)
    flipped[-1] ^= 1
    assert list(frames(bytes(flipped))) == []


async def test_poison_is_set_aside(
    tmp_path: Path, reader: SpoolReader, memory: MemoryLedger, metrics: BookkeepingMetrics
) -> None:
    """An event that cannot be decoded, or that SQL refuses, is kept in a file of its own; the others are booked."""
    memory.refuses = lambda found: found.call_id == "refused"
    spool = Spool(tmp_path, "w1")
    spool.append([event("a"), b"\xc1nonsense", event("refused"), event("b")])
    spool.close()
    await reader.run_once()
    assert {call for call, _ in memory.rows} == {"a", "b"}
    (kept,) = names(tmp_path, ".bad")
    assert [payload for payload, _ in frames(kept.read_bytes())] == [b"\xc1nonsense", event("refused")]
    assert metrics.counted("bad") == 2
    assert not names(tmp_path, ".ready")


def written_until_killed(directory: Path, take: Callable[[], object]) -> list[str]:
    """What a process wrote and had confirmed before its `kill -9`; `take` is called in the middle."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        confirmed = [writer.stdout.readline().strip() for _ in range(15)]
        take()
        confirmed += [writer.stdout.readline().strip() for _ in range(15)]
        writer.kill()
        return confirmed + [line.strip() for line in writer.stdout if line.endswith("\n")]


def test_a_killed_writer_loses_nothing_it_confirmed(
    tmp_path: Path, booker: Booker, memory: MemoryLedger, metrics: BookkeepingMetrics
) -> None:
    """`kill -9` in the middle of writing, while a reader takes the files: every confirmed event is booked once."""
    directory = tmp_path / "spool"
    for _ in range(3):
        memory.rows.clear()
        with asyncio.Runner() as runner:
            reader = SpoolReader(directory, booker, metrics)
            confirmed = written_until_killed(directory, lambda: runner.run(reader.run_once()))  # noqa: B023
            runner.run(reader.run_once())
        assert set(confirmed) <= {call for call, _ in memory.rows}
        assert list(directory.iterdir()) == [], "its reserve is gone, too"


async def test_a_living_writers_files_stay(tmp_path: Path, reader: SpoolReader) -> None:
    """The file and the reserve of a process that lives are not removed."""
    spool = Spool(tmp_path, "w1")
    spool.append([event("a")])
    await spool.flush()
    await reader.run_once()
    assert len(names(tmp_path, ".open")) == 1
    assert [path.stat().st_size for path in names(tmp_path, ".reserve")] == [RESERVE_BYTES]
    spool.close()


def test_a_reused_pid_is_another_process() -> None:
    """A name with our pid and another start time is of a dead process."""
    mine = start_time(os.getpid())
    assert mine is not None
    assert SpoolName("w", os.getpid(), mine, 1).alive()
    assert not SpoolName("w", os.getpid(), "1.0", 1).alive()
    assert not SpoolName("w", dead_pid(), "1.0", 1).alive()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes; needs root."""
    with tiny_file_system(tmp_path / "disk") as found:
        yield found


async def test_a_full_disk(tiny_disk: Path, booker: Booker, memory: MemoryLedger, metrics: BookkeepingMetrics) -> None:
    """The disk fills up: the spool says so, what is under way is still recorded in the reserve, and once there is
    room it is healthy again."""
    directory = tiny_disk / "spool"
    spool = Spool(directory, "w1")
    spool.append([event("before")])
    await spool.flush()
    await eventually(lambda: spool.healthy, "health")
    filler = tiny_disk / "filler"
    fill(filler)
    big = [event(f"{number:0400}") for number in range(500)]
    spool.append(big)
    await asyncio.wait_for(spool.flush(), 10)
    assert not spool.healthy
    assert not names(directory, ".reserve")
    assert spool.pending == 0
    filler.unlink()
    await eventually(lambda: spool.healthy, "health")
    assert names(directory, ".reserve")
    spool.append([event("after")])
    spool.close()
    await SpoolReader(directory, booker, metrics).run_once()
    assert len(memory.rows) == 502


FILE_SIZE_LIMIT = """
import sys, asyncio, resource, signal
from pathlib import Path
from gateway.usage.spool import Spool
from gateway.usage.events import encode_event
from tests.bookkeeping.books import row
from tests.support.waiting import eventually

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

async def main():
    spool = Spool(Path(sys.argv[1]), "w1")
    spool.append([encode_event([row("first")])])
    await spool.flush()
    spool._reserve.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    spool.append([encode_event([row(f"c{number}")]) for number in range(50)])
    await eventually(lambda: not spool.healthy, "trouble")
    assert spool.pending == 50
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await spool.flush()
    await eventually(lambda: spool.healthy, "health")
    spool.close()

asyncio.run(main())
"""


def test_failed_writes_are_tried_again(
    tmp_path: Path, booker: Booker, memory: MemoryLedger, metrics: BookkeepingMetrics
) -> None:
    """A write that fails half way, without a reserve: the group is kept and written anew, once."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", FILE_SIZE_LIMIT, str(tmp_path / "spool")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    asyncio.run(SpoolReader(tmp_path / "spool", booker, metrics).run_once())
    assert len(memory.rows) == 51
    assert metrics.counted("duplicate") == 0


def dead_pid() -> int:
    """A pid that nobody has."""
    with subprocess.Popen(["true"]) as process:
        pass
    deadline = time.monotonic() + 5
    while Path(f"/proc/{process.pid}").exists():
        assert time.monotonic() < deadline
    return process.pid
