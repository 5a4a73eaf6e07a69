"""File descriptors: how many this process may have, and how many of them clients may hold.

A worker that has none left can ask no provider and reach no store, and to bring it there takes no key: connecting is
enough. So clients hold half of them at most, which leaves each of their calls one for a provider; and when there are
more, those go that have been idle for the longest, as nginx does.
"""

from __future__ import annotations

import resource
import time
from collections.abc import MutableSet
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Protocol

import structlog

if TYPE_CHECKING:
    from asyncio import Transport

_log = structlog.stdlib.get_logger("gateway.http")

KEPT = 64
"""For the store, the database, logs and the process itself."""
LOOKED_AT = 64
"""Connections of which the idlest is found: looking at all of them would make each new one dearer."""
LOG_SECONDS = 60.0
_logged = -inf


class Connection(Protocol):
    """A client's, as far as this goes."""

    transport: Transport

    @property
    def idle_until(self) -> float:
        """When it ends unless a request comes; infinite while one is served."""
        ...


def most_connections() -> int | None:
    """Of clients, in this process; None: as many as come."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if limit == resource.RLIM_INFINITY else max(1, (limit - KEPT) // 2)


def make_room(connections: MutableSet[Connection], newcomer: Connection) -> None:
    """Close one of these, which are more than there may be: of some that are idle the one whose time is up first, and
    the newcomer where all are busy."""
    others = (one for one in islice(connections, LOOKED_AT) if one is not newcomer)
    leaving = min(others, key=lambda one: one.idle_until, default=newcomer)
    if leaving.idle_until == inf:
        leaving = newcomer
    # Its transport tells it of the end in the next turn of the loop; until then others may come.
    connections.discard(leaving)
    leaving.transport.abort()
    global _logged  # noqa: PLW0603 - once a minute in this process
    if time.monotonic() - _logged > LOG_SECONDS:
        _logged = time.monotonic()
        _log.warning(
            "connections_full", connections=len(connections), remedy="raise the limit of open files (ulimit -n)"
        )
