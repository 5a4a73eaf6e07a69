import os
import subprocess
import sys

from bench import procstat
from bench.procstat import Stat, descendants, parse_busy, parse_rss, parse_stat

LINE = "4242 (a (b) c) S 17 4242 4242 0 -1 4194560 100 200 0 0 11 22 3 4 20 0 1 0 12345 1000 50 18446744073709551615"


def test_stat_counts_fields_after_the_last_bracket() -> None:
    """A command name with blanks and brackets does not shift the fields."""
    assert parse_stat(LINE) == Stat(pid=4242, parent=17, state="S", ticks=11 + 22 + 3 + 4, started=12345)


def test_busy_time_leaves_idle_and_waiting_out() -> None:
    """Idle and iowait are no work; stolen time is, and guest time is not counted twice."""
    assert parse_busy("cpu  1 2 4 1000 1000 8 16 32 64 64\ncpu0 9 9 9 9 9 9 9 9 9 9\n") == 1 + 2 + 4 + 8 + 16 + 32


def test_rss_is_read_in_bytes() -> None:
    """VmRSS is given in kB; a process without memory counts nothing."""
    assert parse_rss("Name:\tx\nVmPeak:\t 900 kB\nVmRSS:\t   20 kB\n") == 20 * 1024
    assert parse_rss("Name:\tx\nState:\tZ (zombie)\n") == 0


def test_the_worker_is_the_process_that_used_most() -> None:
    """Helpers are left out, however much they used before; a process that is new counts from nothing."""
    before = [Stat(1, 0, "S", 50_000), Stat(2, 1, "S", 100)]
    after = [Stat(1, 0, "S", 50_010), Stat(2, 1, "S", 300), Stat(3, 1, "S", 150)]
    assert procstat.busiest_seconds(before, after) == 200 / procstat.TICKS_PER_SECOND
    assert procstat.busiest_seconds([], []) == 0


def test_descendants_leave_strangers_out() -> None:
    """A tree is the root with its children and theirs, and nobody else."""
    stats = [Stat(pid, parent, "S", 0) for pid, parent in ((5, 3), (1, 0), (2, 1), (3, 2), (4, 1))]
    assert [stat.pid for stat in descendants(2, stats)] == [2, 3, 5]
    assert descendants(99, stats) == []


def test_a_running_tree_is_seen() -> None:
    """A real child belongs to our tree, has memory, and its CPU time is counted once it is burnt and reaped."""
    before = procstat.cpu_seconds(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", "sum(range(4_000_000)); print('ready', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in {stat.pid for stat in procstat.tree(os.getpid())}
        memory = procstat.memory(child.pid)
        assert memory.busiest == memory.total > 1_000_000
        child.communicate(b"\n")
    assert procstat.cpu_seconds(os.getpid()) > before
