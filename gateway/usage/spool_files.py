"""The files of the spool: their names, their frames, and whether the process that writes one still lives.

A file holds frames: length and CRC-32 of the payload (little-endian, 4 bytes each), then the payload, one ledger event.
A frame of length 0 is not valid, so that zeros after a power failure end a file.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_HEAD = struct.Struct("<II")
FRAME_MAX = 16 << 20
"""Bytes; a longer length is a damaged one."""
OPEN, READY, RESERVE, BAD = ".open", ".ready", ".reserve", ".bad"


def frame(payload: bytes) -> bytes:
    """One event as it stands in a file."""
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Payloads with the offset behind each, up to the first frame that is torn or damaged."""
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if not 0 < length <= FRAME_MAX or end > len(data):
            return
        payload = data[at + _HEAD.size : end]
        if zlib.crc32(payload) != checksum:
            return
        yield payload, end
        at = end


@dataclass(frozen=True, slots=True)
class SpoolName:
    """Who writes a file, and which of its files it is. A pid alone may be another process by now: its start time and
    the machine's boot say which one is meant."""

    worker: str
    pid: int
    started: str
    number: int

    def __str__(self) -> str:
        return f"spool-{self.worker}-{self.pid}-{self.started}-{self.number:08d}"

    @classmethod
    def ours(cls, worker: str, number: int) -> SpoolName:
        """The name of a file that this process writes."""
        pid = os.getpid()
        return cls(worker, pid, start_time(pid) or "0", number)

    @classmethod
    def parse(cls, path: Path) -> SpoolName | None:
        """None for files that are not the spool's."""
        parts = path.stem.split("-")
        if len(parts) != 5 or parts[0] != "spool" or not (parts[2].isdigit() and parts[4].isdigit()):
            return None
        return cls(parts[1], int(parts[2]), parts[3], int(parts[4]))

    def alive(self) -> bool:
        """Whether the process that writes this file may still write."""
        now = start_time(self.pid)
        return now is not None and self.started in (now, "0")


def start_time(pid: int) -> str | None:
    """When a process began, unique among those that had its pid: clock ticks and the machine's boot; `0` where the
    system does not tell, None when there is no such process."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _exists(pid)
    return None if state in "ZX" else f"{rest[18]}.{_boot()}"


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""


def _exists(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "0"
