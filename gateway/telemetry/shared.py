"""What several workers know together: one file per worker, replaced whole, and an archive of the dead.

A reader takes the workers' files first and the archive last; the sweeper writes the archive first, then removes files.
Thus a worker that is swept meanwhile is counted once: its instance stands among the archive's `folded`.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec

from gateway.telemetry.tallies import Snapshot, merge

_log = logging.getLogger("gateway.telemetry")

_ARCHIVE = "archive"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


def fresh_directory(data_dir: Path) -> Path:
    """An empty directory for this run's workers; to be called once, before the first fork."""
    directory = data_dir / "metrics"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    return directory


def write(directory: Path, snapshot: Snapshot) -> None:
    """Replace this process's file. Raises OSError."""
    _replace(directory / f"worker-{os.getpid()}-{snapshot.instance}", snapshot)


def read(directory: Path, own: Snapshot) -> Snapshot:
    """Everybody's numbers: `own` from memory, the other workers' and the archive from files. Raises OSError."""
    return merge([_others(directory, own.instance), own])


class Reader:
    """Reads as `read` does. While files cannot be read, as where no descriptor is left, the others' numbers are those
    that were read last: without them every sum would fall."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: Snapshot | None = None
        self._failing = False

    def read(self, own: Snapshot) -> Snapshot:
        """Everybody's numbers. Raises OSError where they cannot be read and never could."""
        try:
            self._known = _others(self._directory, own.instance)
            self._failing = False
        except OSError as error:
            if not self._failing:
                shows = "nothing" if self._known is None else "what was read of them last"
                _log.error("the other processes' metrics cannot be read (%s); /metrics shows %s", error.strerror, shows)
            self._failing = True
            if self._known is None:
                raise
        return merge([self._known, own])


def _others(directory: Path, instance: str) -> Snapshot:
    parts = [found for path in _workers(directory) if (found := _load(path)) and found.instance != instance]
    archive = _load(directory / _ARCHIVE) or Snapshot()
    folded = set(archive.folded)
    return merge([archive, *(part for part in parts if part.instance not in folded)])


def sweep(directory: Path, live_pids: Collection[int]) -> int:
    """Fold dead workers' files into the archive, so that totals never fall; tells how many there were.

    For the one process that supervises the workers. Raises OSError.
    """
    dead = [path for path in _workers(directory) if int(path.name.split("-")[1]) not in live_pids]
    if not dead:
        return 0
    archive = _load(directory / _ARCHIVE) or Snapshot()
    folded = set(archive.folded)
    parts = [part for path in dead if (part := _load(path)) and part.instance not in folded]
    total = merge([archive, *parts], gauges=False)
    total.folded = [part.instance for part in parts] + archive.folded[:64]
    _replace(directory / _ARCHIVE, total)
    for path in dead:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.tmp").unlink(missing_ok=True)
    return len(dead)


def _workers(directory: Path) -> list[Path]:
    """Raises OSError: some versions of `glob` find nothing instead where no descriptor is left."""
    try:
        names = os.listdir(directory)  # noqa: PTH208 - names are wanted
    except FileNotFoundError:
        return []
    return [directory / name for name in sorted(names) if name.startswith("worker-") and not name.endswith(".tmp")]


def _load(path: Path) -> Snapshot | None:
    try:
        return _decode(path.read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return None  # swept meanwhile; or torn by a full disk, and rewritten within the next flush


def _replace(path: Path, snapshot: Snapshot) -> None:
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_bytes(_encode(snapshot))
    fresh.replace(path)
