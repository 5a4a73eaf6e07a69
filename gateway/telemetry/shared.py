"""What several workers know together: one file per worker, replaced whole, and an archive of the dead.

A reader takes the workers' files first and the archive last; the sweeper writes the archive first, then removes files.
Thus a worker that is swept meanwhile is counted once: its instance stands among the archive's `folded`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from gateway.telemetry.tallies import Snapshot, merge

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
    """Everybody's numbers: `own` from memory, the other workers' and the archive from files."""
    others = [found for path in _workers(directory) if (found := _load(path)) and found.instance != own.instance]
    archive = _load(directory / _ARCHIVE) or Snapshot()
    folded = set(archive.folded)
    return merge([archive, own, *(part for part in others if part.instance not in folded)])


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


def _workers(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.glob("worker-*")) if not path.name.endswith(".tmp"))


def _load(path: Path) -> Snapshot | None:
    try:
        return _decode(path.read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return None  # swept meanwhile; or torn by a full disk, and rewritten within the next flush


def _replace(path: Path, snapshot: Snapshot) -> None:
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_bytes(_encode(snapshot))
    fresh.replace(path)
