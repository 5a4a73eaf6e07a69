"""Names of worker processes, from which another process on the same host can tell whether they are alive."""

from __future__ import annotations

import os
from pathlib import Path


def worker_name(pid: int | None = None) -> str:
    """`<host and pid namespace>:<pid>:<start>:<random>`: unique across hosts, containers and reused process ids."""
    pid = os.getpid() if pid is None else pid
    return f"{_place()}:{pid}:{_started(pid) or 0}:{os.urandom(4).hex()}"


def is_dead(worker: str) -> bool | None:
    """Whether this worker's process has ended; None for one of another host."""
    place, pid, start, *_ = (*worker.split(":"), "", "")
    if place != _place() or not pid.isdigit() or not start.isdigit():
        return None
    return _started(int(pid)) != int(start)


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"


def _started(pid: int) -> int | None:
    """Clock ticks after boot at which it started; None when it has ended, waited for or not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
