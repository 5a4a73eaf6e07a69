"""Connections to whatever server the Sentinels call the master at the moment of connecting.

https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from redis import exceptions
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection

from gateway.storage.address import Address
from gateway.storage.client import Connector

_ASK_SECONDS = 0.5
"""How long one Sentinel may take to answer."""


class Sentinels:
    """The Sentinels of one master. They are asked all at once: one that is away delays nobody."""

    def __init__(self, address: Address) -> None:
        self._hosts = address.hosts
        self._master = address.master
        self._make = address.make
        data = address.settings
        self._settings = {name: value for name, value in data.items() if name not in ("db", "username", "password")}
        self._auth: Mapping[str, Any] = address.sentinel_auth
        self._data_auth = {name: data[name] for name in ("username", "password") if data.get(name)}

    def __repr__(self) -> str:
        return f"<Sentinels {self._master} at {','.join(f'{host}:{port}' for host, port in self._hosts)}>"

    async def masters(self) -> AsyncIterator[tuple[str, int]]:
        """Addresses that Sentinels call the master, each once, in the order of their answers. Raises redis-py's errors
        when none answers."""
        tasks = [asyncio.create_task(self._ask(host, port)) for host, port in self._hosts]
        told: set[tuple[str, int]] = set()
        trouble: Exception | None = None
        try:
            for answer in asyncio.as_completed(tasks):
                try:
                    found = await answer
                except (exceptions.RedisError, OSError) as error:
                    trouble = error
                    continue
                if found is not None and found not in told:
                    told.add(found)
                    yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not told:
            raise exceptions.ConnectionError(f"no Sentinel names a master called {self._master!r}") from trouble

    async def _ask(self, host: str, port: int) -> tuple[str, int] | None:
        try:
            return await self._ask_as(host, port, self._auth)
        except exceptions.AuthenticationError:
            if self._auth or not self._data_auth:
                raise
            return await self._ask_as(host, port, self._data_auth)  # one password for everything is common

    async def _ask_as(self, host: str, port: int, auth: Mapping[str, Any]) -> tuple[str, int] | None:
        connection = self._make(**{**self._settings, **auth, "host": host, "port": port})
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._master, check_health=False)
                found = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        return (found[0].decode(), int(found[1])) if found else None


class _FollowsMaster(AbstractConnection):
    """A connection that asks the Sentinels where to go, and whether it got there: an old master is not one."""

    host: str
    port: int
    sentinels: Sentinels

    async def connect(self) -> None:
        if self.is_connected:
            return
        trouble: Exception = exceptions.ConnectionError("the Sentinels name a server that is no master")
        masters = self.sentinels.masters()
        try:
            async for self.host, self.port in masters:
                try:
                    await super().connect()  # type: ignore[no-untyped-call]
                    if await self._is_master():
                        return
                except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
                    trouble = error
                await self.disconnect(nowait=True)
        finally:
            await masters.aclose()  # type: ignore[attr-defined]
        raise trouble

    async def _is_master(self) -> bool:
        await self.send_command("ROLE", check_health=False)
        try:
            role = await self.read_response()
        except exceptions.ResponseError:
            return True  # not allowed to ask: the Sentinels' word counts
        return bool(role[0] == b"master")


class _Plain(_FollowsMaster, Connection):
    """By TCP."""


class _Tls(_FollowsMaster, SSLConnection):
    """By TLS."""


def follow_master(address: Address) -> Connector:
    """Makes connections that find the master when they connect."""
    sentinels = Sentinels(address)
    make = _Tls if issubclass(address.make, SSLConnection) else _Plain

    def open_one() -> AbstractConnection:
        connection = make(**address.settings)
        connection.sentinels = sentinels
        return connection

    return open_one
