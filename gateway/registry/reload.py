"""Reload on change: validate the whole file, swap the whole snapshot, else keep the last good one and say so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import OperatorError

if TYPE_CHECKING:
    from gateway.ports import Observer
    from gateway.registry.loader import Loaded
    from gateway.registry.snapshot import Snapshot

DEBOUNCE_MS = 200
"""Changes that follow each other this closely are one change."""
MOST_PAUSES = 10
"""So many times that long a file is waited for that is being written; then it is taken as it is."""
POLL_MS = 5000
"""How often the file is looked at when no event comes: network file systems send none, and watches can be lost."""
RETRY_SECONDS = 1.0

Load = Callable[[], Awaitable["Loaded"]]
Swap = Callable[["Snapshot"], None]
Signature = tuple[tuple[str, int, int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """What `/readyz` tells about the configuration."""

    revision: str
    loaded_at: float
    """Unix seconds at which this revision was loaded."""
    last_error: str | None = None
    """Why the newest file is not served; None when it is."""
    resources: int = 0
    """The revision of the database's resources in it."""


class Reloader:
    """Keeps the served snapshot in step with files. `load` reads them anew; `swap` puts a snapshot in service."""

    def __init__(
        self, paths: Path | Sequence[Path] | None, load: Load, swap: Swap, observer: Observer, initial: Loaded
    ) -> None:
        self._paths = () if paths is None else (paths,) if isinstance(paths, Path) else tuple(paths)
        self._load = load
        self._swap = swap
        self._observer = observer
        self._lock = asyncio.Lock()
        self._seen = _signature(self._paths)
        self._warnings = initial.warnings
        self.status = Status(initial.snapshot.revision, time.time(), resources=initial.snapshot.resources)

    async def reload_now(self) -> bool:
        """Load the file and serve it if it is good; True when it is. An unchanged revision changes nothing."""
        async with self._lock:
            self._seen = await asyncio.to_thread(_signature, self._paths)
            try:
                loaded = await self._load()
            except OperatorError as error:  # a ConfigError, or a wrong key to the resources
                self._reject(str(error))
                return False
            self._accept(loaded.snapshot, loaded.warnings)
            return True

    def _reject(self, text: str) -> None:
        self.status = replace(self.status, last_error=text)
        self._observer.config_loaded(self.status.revision, text)

    def _accept(self, snapshot: Snapshot, warnings: tuple[str, ...]) -> None:
        fresh = tuple(warning for warning in warnings if warning not in self._warnings)
        self._warnings = warnings
        if snapshot.revision != self.status.revision:
            self._swap(snapshot)
        elif self.status.last_error is None:
            if snapshot.resources != self.status.resources:
                self.status = replace(self.status, resources=snapshot.resources)
            return
        self.status = Status(snapshot.revision, time.time(), resources=snapshot.resources)
        self._observer.config_loaded(snapshot.revision, None, fresh)

    async def run(self) -> None:
        """Watch until cancelled. Directories are watched, not files: editors and Kubernetes replace files."""
        if not self._paths:
            return
        while True:
            try:
                await self._watch()
            except OSError:
                # The directory is gone for now, or the system has no watch left: look again in a while.
                await asyncio.sleep(RETRY_SECONDS)
                await self._check()

    async def _written(self, found: Signature) -> None:
        """Wait until nobody writes the file any more: the first part of a configuration may be a valid one without
        routes and keys."""
        if _may_grow(found, self._seen):
            for _ in range(MOST_PAUSES):
                await _pause()
                before, found = found, await asyncio.to_thread(_signature, self._paths)
                if found == before:
                    return

    async def _watch(self) -> None:
        """Reload on changes until the set of directories to watch becomes another one."""
        from watchfiles import awatch  # noqa: PLC0415 — only a worker that watches pays for it

        directories = await asyncio.to_thread(_directories, self._paths)
        stop = asyncio.Event()
        watcher = awatch(
            *directories,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=50,
            stop_event=stop,
            rust_timeout=POLL_MS,
            yield_on_timeout=True,
            recursive=False,
        )
        try:
            await self._check()
            async for _ in watcher:
                await self._check()
                if await asyncio.to_thread(_directories, self._paths) != directories:
                    return
        finally:
            stop.set()
            await watcher.aclose()

    async def _check(self) -> None:
        """Reload if the file is another one, or has other content, than at the last look."""
        found = await asyncio.to_thread(_signature, self._paths)
        if found == self._seen:
            return
        await self._written(found)
        try:
            await self.reload_now()
        except Exception as error:  # a fault of ours must not end the watch: reported, and the next change is tried
            self._observer.failed(error, "")


async def _pause() -> None:
    await asyncio.sleep(DEBOUNCE_MS / 1000)


def _may_grow(found: Signature, before: Signature) -> bool:
    """Whether a file was opened to be written: it is the one it was, with other content, or one that was not there.
    What another file was moved to is complete."""
    return any(
        now is not None and now != known and (known is None or now[:2] == known[:2])
        for now, known in zip(found, before, strict=True)
    )


def _signature(paths: Sequence[Path]) -> Signature:
    """What tells one state of the files from another; None for one that cannot be seen."""
    return tuple(_facts(path) for path in paths)


def _facts(path: Path) -> tuple[str, int, int, int, int] | None:
    try:
        facts = path.stat()
        # A time of change cannot be set: `cp -p` and `touch -r` leave size and time of writing as they were.
        return str(path.resolve()), facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size
    except (OSError, RuntimeError):
        return None


def _directories(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Where the files' names are, and where a file itself is when its name is a link."""
    return tuple(dict.fromkeys(place for path in paths for place in _places(path)))


def _places(path: Path) -> tuple[Path, ...]:
    named = path.absolute().parent
    try:
        actual = path.resolve(strict=True).parent
    except (OSError, RuntimeError):
        actual = named
    if not named.is_dir():
        raise FileNotFoundError(named)
    return (named,) if actual == named.resolve() else (named, actual)
