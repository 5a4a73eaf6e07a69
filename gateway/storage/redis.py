"""The way to Redis: one client for a server, for what Sentinel calls the master, and for a Cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.storage.address import Address, read_address
from gateway.storage.client import Connector, OnCall, RedisClient, RedisOptions, Script
from gateway.storage.errors import MissingScript

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

__all__ = ["MissingScript", "RedisClient", "RedisOptions", "Script", "connect"]

DEFAULTS = RedisOptions()


def connect(url: str, options: RedisOptions = DEFAULTS, on_call: OnCall | None = None) -> RedisClient:
    """A client that connects on first use. `on_call` hears of every command and probe (seconds, reason of a failure).

    `redis://`, `rediss://`, `unix://`; `redis+sentinel://[user:password@]host:port,…/master-name[/db]` (the Sentinels'
    own credentials: `?sentinel_username=…&sentinel_password=…`); `redis+cluster://[user:password@]host:port,…`; the
    last two with `rediss+` for TLS. Raises OperatorError for anything else.
    """
    address = read_address(url, options)
    # What these import costs 60 ms: commands that need no Redis do not pay it.
    if address.kind == "cluster":
        from gateway.storage.cluster import ClusterClient  # noqa: PLC0415

        return ClusterClient(address.hosts, lambda place: _to(address, place), options, on_call)
    from gateway.storage.node import NodeClient  # noqa: PLC0415

    if address.kind == "sentinel":
        from gateway.storage.sentinel import follow_master  # noqa: PLC0415

        return NodeClient(follow_master(address), options, on_call, name=f"sentinel master {address.master}")
    return NodeClient(_to(address, None), options, on_call)


def _to(address: Address, place: tuple[str, int] | None) -> Connector:
    settings = dict(address.settings)
    if place is not None:
        settings["host"], settings["port"] = place

    def open_one() -> AbstractConnection:
        connection: AbstractConnection = address.make(**settings)
        return connection

    return open_one
