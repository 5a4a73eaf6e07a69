"""CPU time and memory of process trees, read from /proc (proc(5))."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of /proc/<pid>/stat; `ticks` is user + system time, that of ended and reaped children included."""

    pid: int
    parent: int
    state: str
    ticks: int
    started: int = 0
    """Ticks since boot: tells a process from a later one with the same number."""


def parse_stat(text: str) -> Stat:
    """The command name stands in brackets and may hold blanks and brackets: fields count from the last one."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return Stat(
        pid=int(head.split(" ", 1)[0]),
        parent=int(fields[1]),
        state=fields[0],
        ticks=sum(int(field) for field in fields[11:15]),
        started=int(fields[19]),
    )


def parse_rss(status: str) -> int:
    """Resident bytes out of /proc/<pid>/status; 0 for a process that has none left."""
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def parse_busy(text: str) -> int:
    """Ticks all cores together were not idle, out of /proc/stat; what the hypervisor took counts as busy."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(field) for field in text.split("\n", 1)[0].split()[1:9]
    )
    return user + nice + system + irq + softirq + steal


def descendants(root: int, stats: Iterable[Stat]) -> list[Stat]:
    """The process `root` and everything below it, parents before children."""
    known = list(stats)
    children: dict[int, list[Stat]] = {}
    for stat in known:
        children.setdefault(stat.parent, []).append(stat)
    found = [stat for stat in known if stat.pid == root]
    for stat in found:
        found.extend(children.get(stat.pid, ()))
    return found


def snapshot() -> list[Stat]:
    """Every process there is; those that end while we look are left out."""
    stats = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stats.append(parse_stat((entry / "stat").read_text()))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return stats


def lives(stat: Stat) -> bool:
    """Whether this very process still runs: it is not gone, and no zombie."""
    try:
        now = parse_stat((PROC / str(stat.pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return False
    return now.started == stat.started and now.state not in "ZX"


def tree(root: int) -> list[Stat]:
    """The process `root` and its descendants as they are now."""
    return descendants(root, snapshot())


def cpu_seconds(root: int) -> float:
    """User and system time of the whole tree since it began."""
    return total_seconds(tree(root))


def total_seconds(stats: Iterable[Stat]) -> float:
    """User and system time of these together."""
    return sum(stat.ticks for stat in stats) / TICKS_PER_SECOND


def busiest_seconds(before: Iterable[Stat], after: Iterable[Stat]) -> float:
    """CPU time of the process that used most between two looks at a tree: the worker, without its helpers."""
    then = {stat.pid: stat.ticks for stat in before}
    return max((stat.ticks - then.get(stat.pid, 0) for stat in after), default=0) / TICKS_PER_SECOND


class Bystanders:
    """How much of the machine went to processes that are not the rig's, since this was made."""

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        busy = parse_busy((PROC / "stat").read_text()) / TICKS_PER_SECOND
        return time.perf_counter(), busy - cpu_seconds(os.getpid())

    def percent_of_core(self) -> float:
        """Other work, in percent of one core; more than a few make rates and latencies doubtful."""
        (began, before), (now, after) = self._start, self._now()
        return max(0.0, (after - before) / (now - began) * 100)


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes: of the process of a tree that has used most CPU time (the worker), and of all together."""

    busiest: int
    total: int


def memory(root: int) -> Memory:
    """What the tree holds now."""
    sizes: list[tuple[int, int]] = []
    for stat in tree(root):
        try:
            sizes.append((stat.ticks, parse_rss((PROC / str(stat.pid) / "status").read_text())))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return Memory(max(sizes, default=(0, 0))[1], sum(size for _, size in sizes))
