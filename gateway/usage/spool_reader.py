"""The bookkeeper's side of the spool: files into the ledger, at least once, and away when their rows are committed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.telemetry.bookkeeping import BookkeepingMetrics
from gateway.types import LedgerRow
from gateway.usage.booking import Booker, LedgerAway
from gateway.usage.events import BadEvent, decode_event, encode_event
from gateway.usage.spool_files import BAD, OPEN, READY, RESERVE, SpoolName, frame, frames

_log = logging.getLogger("gateway.usage")

POLL_SECONDS = 0.2
BACKOFF_MAX = 5.0


@dataclass(frozen=True, slots=True)
class _Part:
    """What stands in a file behind what is booked of it."""

    rows: list[LedgerRow]
    bad: list[bytes]
    end: int
    """The offset behind the last whole frame."""
    torn: int
    """Bytes behind that."""


class SpoolReader:
    """One per directory. Files of living writers are read as they grow; they are removed when they are closed, or
    their writer is dead."""

    def __init__(self, directory: Path, booker: Booker, metrics: BookkeepingMetrics) -> None:
        self._directory = directory
        self._booker = booker
        self._metrics = metrics
        self._done: dict[str, int] = {}
        """The offset up to which a file's rows are in SQL, by its name without suffix: names are never used again."""
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Take files until cancelled; while SQL is away they stay."""
        failures = 0
        while True:
            try:
                await self.run_once()
                if failures:
                    _log.warning("spooled ledger events are booked again")
                failures = 0
            except (LedgerAway, OSError) as error:
                failures += 1
                self._metrics.failed()
                if failures == 1:
                    _log.warning("spooled ledger events wait: %s", error)
            await asyncio.sleep(POLL_SECONDS if not failures else min(BACKOFF_MAX, POLL_SECONDS * 2**failures))

    async def run_once(self) -> int:
        """Book what stands in the files now; how many rows that were. Raises LedgerAway, OSError."""
        async with self._turn:
            booked = 0
            trouble: OSError | None = None
            # Asked before the files are read: who is dead by now has written everything it ever will.
            for path, final in self._files():
                try:
                    booked += await self._take(path, final=final)
                except OSError as error:  # one damaged file does not hold up the others
                    trouble = error
            self._metrics.spool(self._waiting())
            if trouble is not None:
                raise trouble
            return booked

    def _spooled(self) -> list[tuple[Path, SpoolName]]:
        """The spool's files of any kind, the oldest first."""
        named = [(path, SpoolName.parse(path)) for path in self._directory.glob("spool-*")]
        found = [(path, name) for path, name in named if name is not None and path.suffix in (OPEN, READY)]
        return sorted(found, key=lambda pair: pair[1].number)

    def _files(self) -> list[tuple[Path, bool]]:
        """Files to read, and whether they are final."""
        found = [(path, path.suffix == READY or not name.alive()) for path, name in self._spooled()]
        for path in self._directory.glob(f"spool-*{RESERVE}*"):
            name = SpoolName.parse(path)
            if name is not None and not name.alive():
                path.unlink(missing_ok=True)
        known = {path.stem for path, _ in found}
        self._done = {stem: offset for stem, offset in self._done.items() if stem in known}
        return found

    async def _take(self, path: Path, *, final: bool) -> int:
        path, part = self._read(path)
        if part is None:
            return 0
        bad_rows = await self._booker.book(part.rows) if part.rows else []
        self._set_aside(path, [*part.bad, *(encode_event([row]) for row in bad_rows)])
        self._metrics.rows("bad", len(part.bad))
        self._done[path.stem] = part.end
        if final:
            if part.torn:
                self._mourn(path, part.torn)
            path.unlink(missing_ok=True)
        return len(part.rows)

    def _read(self, path: Path) -> tuple[Path, _Part | None]:
        """The new part of a file, which may just have been closed; None when it is gone."""
        for candidate in (path, path.with_suffix(READY)):
            with suppress(FileNotFoundError), candidate.open("rb") as file:
                offset = file.seek(self._done.get(path.stem, 0))
                return candidate, _parse(file.read(), offset)
        return path, None

    def _mourn(self, path: Path, torn: int) -> None:
        """A tail that is no frame: of a writer that died while it wrote, or a disk's damage. Nobody was told that it
        is safe. What a closed file has of it is kept for people to look at."""
        _log.warning("%d bytes at the end of spool file %s are incomplete", torn, path.name)
        if path.suffix == READY:
            path.with_suffix(f"{READY}{BAD}").write_bytes(path.read_bytes()[-torn:])

    def _set_aside(self, path: Path, events: Sequence[bytes]) -> None:
        """Events that cannot be booked, kept in a file that nobody reads but people."""
        if not events:
            return
        _log.error("%d events of spool file %s cannot be booked; they are kept in %s", len(events), path.name, BAD)
        with path.with_suffix(BAD).open("ab") as file:
            file.write(b"".join(map(frame, events)))

    def _waiting(self) -> int:
        total = 0
        for path, _ in self._spooled():
            with suppress(FileNotFoundError):
                total += max(0, path.stat().st_size - self._done.get(path.stem, 0))
        return total


def _parse(data: bytes, offset: int) -> _Part:
    rows: list[LedgerRow] = []
    bad: list[bytes] = []
    end = 0
    for payload, after in frames(data):
        end = after
        try:
            rows += decode_event(payload)
        except BadEvent:
            bad.append(payload)
    return _Part(rows, bad, offset + end, len(data) - end)
