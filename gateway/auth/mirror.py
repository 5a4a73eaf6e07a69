"""Keeps the keys in Redis as the database says they are. Run by the bookkeeper; any number may run at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Protocol

from gateway.storage.errors import StoreUnavailable
from gateway.trouble import Trouble

if TYPE_CHECKING:
    from gateway.auth.keyring import Keyring, Mark
    from gateway.auth.records import Change

_log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
"""How soon a change is taken up that nobody told Redis of; also how soon lost keys are there again."""
_DELTA_MAX = 1000
"""Changed keys beyond which filling the hash anew is the smaller work."""


class Source(Protocol):
    """Where the truth stands."""

    async def revision(self) -> int: ...

    async def changed(self, since: int) -> Change: ...

    async def names(self) -> Collection[str]:
        """Of keys that are not revoked."""
        ...


class Mirror:
    """Compares and repairs every few seconds. `file_names` are the keys of the configuration file: those win."""

    def __init__(
        self,
        source: Source,
        keyring: Keyring,
        *,
        unavailable: tuple[type[Exception], ...] = (),
        file_names: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`unavailable`: what the source raises while it is away."""
        self._source = source
        self._keyring = keyring
        self._away: tuple[type[Exception], ...] = (StoreUnavailable, *unavailable)
        self._file_names = file_names
        self._revision: int | None = None
        """Everything up to here was brought in by us; None: we have not begun."""
        self._warned: frozenset[str] = frozenset()
        self._checked: tuple[int, frozenset[str]] | None = None
        began = partial(_log.warning, "keys are not mirrored at the moment: %s")
        self._trouble = Trouble(began, partial(_log.info, "keys are mirrored again"))

    async def run(self) -> None:
        """Until cancelled. Trouble is logged when it begins and when it is over."""
        while True:
            await self.round()
            await asyncio.sleep(POLL_SECONDS)

    async def round(self) -> bool:
        """One comparison, with its repair; whether it went well."""
        try:
            await self.step()
        except self._away as error:
            self._trouble.met(error)
        except Exception as error:  # a fault of ours must not end the mirror: it is logged and tried again
            _log.exception("the keys could not be mirrored")
            self._trouble.fault(error)
        else:
            self._trouble.over()
        return self._trouble.reason is None

    async def step(self) -> None:
        """As `round`, but raises what goes wrong."""
        # In this order: what the database says is never older than what Redis was told before.
        mark = (await self._keyring.look()).mark
        revision = await self._source.revision()
        if self._begins_anew(mark, revision):
            await self._fill(force=mark is not None and mark.revision > revision)
        elif self._revision is not None and revision > self._revision:
            await self._follow(self._revision)
        await self._warn_of_clashes(revision)

    def _begins_anew(self, mark: Mark | None, revision: int) -> bool:
        """Redis lost something, or holds what this database does not know, or nobody has looked yet."""
        known = self._revision
        if known is None or mark is None or not mark.whole:
            return True
        return mark.revision < known or mark.revision > revision or revision < known

    async def _fill(self, *, force: bool) -> None:
        change = await self._source.changed(0)
        if await self._keyring.replace(change.live, change.revision, force=force):
            self._revision = change.revision
            _log.info("%d keys mirrored, revision %d", len(change.live), change.revision)

    async def _follow(self, since: int) -> None:
        change = await self._source.changed(since)
        if len(change.live) > _DELTA_MAX:
            await self._fill(force=False)
            # What was revoked still has to be told by name: only then are its open streams ended.
            change.live.clear()
        await self._keyring.apply(change)
        self._revision = change.revision

    async def _warn_of_clashes(self, revision: int) -> None:
        names = frozenset(self._file_names())
        if self._checked == (revision, names):
            return
        clashes = names.intersection(await self._source.names()) if names else frozenset()
        for name in sorted(clashes - self._warned):
            _log.warning(
                "the key %s stands in the configuration file and in the database: the file's is served. "
                "Rename one, or `gateway keys revoke %s`.",
                name,
                name,
            )
        self._warned, self._checked = clashes, (revision, names)
