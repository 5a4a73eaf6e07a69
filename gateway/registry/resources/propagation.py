"""From the database to this replica's shelf, where its workers see it: at once when told, else by looking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import structlog

from gateway.registry.resources.fragment import Fragment, fragment_of
from gateway.storage.errors import StoreUnavailable
from gateway.storage.sql.errors import DatabaseUnavailable
from gateway.trouble import Trouble

if TYPE_CHECKING:
    from gateway.registry.resources.records import State
    from gateway.registry.resources.repository import Resources
    from gateway.registry.resources.shelf import Seen, Shelf
    from gateway.storage.redis import RedisClient
    from gateway.vault import Header

CHANNEL = "gw:config"
POLL_SECONDS = 0.5

_log = structlog.stdlib.get_logger("gateway.registry")


class Propagation:
    """Keeps the shelf as the database says. Without the database what is kept serves on; `trouble` says why."""

    def __init__(
        self,
        resources: Resources,
        shelf: Shelf,
        redis: RedisClient,
        header: Callable[[], Awaitable[Header]],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`header`: the vault's, as it is in the database now."""
        self._resources = resources
        self._shelf = shelf
        self._redis = redis
        self._header = header
        self._wall = wall
        self._nudge = asyncio.Event()
        self._turn = asyncio.Lock()
        self._unsaid = False
        self._kept: Seen = None
        """What the file looked like when we left it."""
        self._kept_revision = -1
        self._kept_header: Header | None = None
        self._ends = float("inf")
        """When the next replaced secret has served long enough."""
        self._trouble = Trouble(
            lambda reason: _log.warning("resources_not_propagated", reason=reason),
            lambda: _log.info("resources_propagated_again"),
        )
        self._told: str | None = ""
        """What the workers know of it; at first it is a predecessor's word, whatever that was."""
        resources.on_commit(self._committed)

    @property
    def trouble(self) -> str | None:
        """Why the shelf may be behind the database."""
        return self._trouble.reason

    @property
    def kept(self) -> int:
        """The revision on the shelf; -1: not known yet."""
        return self._kept_revision

    def _committed(self, state: State) -> None:
        del state
        self._unsaid = True
        self._nudge.set()

    def heard(self, message: bytes) -> None:
        """A message of `CHANNEL`: somebody changed something."""
        del message
        self._nudge.set()

    def missed(self) -> None:
        """Messages may have been missed."""
        self._nudge.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._nudge.clear()
            await self.round()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._nudge.wait()

    async def round(self) -> None:
        """Look once, and repair what differs. Trouble is logged when it begins and when it is over."""
        try:
            async with self._turn:
                await self._say()
                await self._step()
        except (DatabaseUnavailable, OSError) as error:
            self._trouble.met(error)
        except Exception as error:  # a fault of ours must not end the propagation: logged, and tried again
            _log.exception("resources could not be propagated")
            self._trouble.fault(error)
        else:
            self._trouble.over()
        self._tell(self._trouble.reason)

    async def _say(self) -> None:
        """Tell the other replicas; without Redis they look for themselves."""
        if self._unsaid:
            self._unsaid = False
            with suppress(StoreUnavailable):
                await self._redis.execute("PUBLISH", CHANNEL, b"changed", key=CHANNEL)

    async def _step(self) -> None:
        revision = await self._resources.revision()
        seen = await asyncio.to_thread(self._shelf.seen)
        header = await self._header()
        same = (revision, header, seen) == (self._kept_revision, self._kept_header, self._kept)
        if same and self._wall() < self._ends:
            return
        if revision == 0 and seen is None:
            self._kept_revision, self._kept_header, self._kept = 0, header, None  # nothing was ever managed here
            return
        state = await self._resources.state()
        fragment = without_expired(fragment_of(state), self._wall())
        fragment.header = (header.salt, header.canary)
        await asyncio.to_thread(self._shelf.keep, fragment)
        self._kept, self._kept_header = await asyncio.to_thread(self._shelf.seen), header
        self._kept_revision = state.revision
        self._ends = _next_end(fragment)
        _log.info("resources_kept", revision=state.revision)

    def _tell(self, trouble: str | None) -> None:
        if trouble != self._told:
            self._shelf.complain(trouble)
            self._told = trouble


def without_expired(fragment: Fragment, now: float) -> Fragment:
    """Without replaced secrets whose time is over."""
    for owner in fragment.providers:
        owner.credentials = [
            msgspec.structs.replace(one, previous=None, until=None) if (one.until or now) <= now else one
            for one in owner.credentials
        ]
    return fragment


def _next_end(fragment: Fragment) -> float:
    ends = (one.until for owner in fragment.providers for one in owner.credentials if one.until is not None)
    return min(ends, default=float("inf"))
