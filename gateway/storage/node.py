"""The client of one server: few connections, one deadline per command, a breaker, no reply ever crossed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from gateway.storage.breaker import CONFIRMING, StoreBreaker
from gateway.storage.client import Argument, Connector, Key, OnCall, RedisClient, RedisOptions
from gateway.storage.companions import Lookout
from gateway.storage.deadline import Deadline
from gateway.storage.errors import MissingScript, Reason, Redirected, SlotMoving, StoreUnavailable
from gateway.storage.faults import classify
from gateway.storage.pool import Pool
from gateway.storage.slots import name_of

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

PROBE_KEY = "gw:probe"
FOLLOWING = 0.05
"""Seconds between two looks at whether other processes still find the store away."""
_READS = frozenset({"GET", "HGET", "HGETALL", "HMGET", "HKEYS", "HSCAN", "PING", "TIME", "INFO", "XLEN", "XRANGE"})
_Answered = (MissingScript, Redirected, SlotMoving)
"""Refusals by a server that is well."""


class NodeClient(RedisClient):
    """Commands to one server, or to whatever the connector finds each time: Sentinel's master."""

    def __init__(
        self, connector: Connector, options: RedisOptions, on_call: OnCall | None = None, *, name: str = "redis"
    ) -> None:
        super().__init__(options)
        self.name = name
        self.probe_key = PROBE_KEY
        """What probes write; on a Cluster one that this node holds."""
        self._connector = connector
        self._on_call = on_call
        self._pool = Pool(connector, options.connect_timeout)
        self._pool.on_connected = self._connected
        self._slots = asyncio.Semaphore(options.max_connections)
        self._breaker = StoreBreaker(time.monotonic, random.random)
        self._lookout = options.lookout
        self._healing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<NodeClient {self.name} idle={self._pool.idle} {self._breaker!r}>"

    @property
    def available(self) -> bool:
        """Whether commands are sent at all."""
        return not self._breaker.open

    def connection(self) -> AbstractConnection:
        """A new connection for the caller alone."""
        return self._connector()

    async def execute(self, *command: Argument, key: Key | None = None) -> Any:  # noqa: ARG002 - there is but one server
        """One command, one reply. Raises StoreUnavailable, of which MissingScript is one kind."""
        return await self.run(command, self._options.timeout)

    async def run(self, command: Sequence[Argument], timeout: float, *, asking: bool = False) -> Any:  # noqa: ASYNC109
        """As `execute`, within `timeout` seconds; `asking` announces it as redirected. Raises Redirected, too."""
        breaker = self._breaker
        if not breaker.open and self._lookout is not None and (reason := self._lookout.heard(self.name)) is not None:
            self._follow(self._lookout, reason)
        if breaker.open:
            raise StoreUnavailable(breaker.reason, "the store is sick, and probed until it is well")
        started = time.perf_counter()
        failure: str | None = None
        try:
            reply = await self._exchange(command, timeout, asking=asking)
        except _Answered:
            breaker.succeeded(wrote=False)
            raise
        except StoreUnavailable as error:
            failure = error.reason
            raise
        else:
            if breaker.failures:
                breaker.succeeded(wrote=name_of(command) not in _READS)
            return reply
        finally:
            if self._on_call is not None:
                self._on_call(time.perf_counter() - started, failure)

    async def _exchange(self, command: Sequence[Argument], timeout: float, *, asking: bool) -> Any:  # noqa: ASYNC109
        pool = self._pool
        epoch = pool.epoch
        connection: AbstractConnection | None = None
        clean = False
        try:
            with Deadline(timeout):
                async with self._slots:
                    connection = await pool.acquire()
                    if asking:
                        await connection.send_command("ASKING", check_health=False)
                        await connection.read_response()
                    await connection.send_command(*command, check_health=False)
                    reply = await connection.read_response()
            clean = True
        except Exception as error:  # the border: every failure becomes StoreUnavailable, which callers count
            failure = classify(error)
            clean = isinstance(failure, _Answered)
            if not clean:
                self._failed(failure.reason, connecting=connection is None)
            try:
                raise failure from error
            finally:
                del failure  # it holds this frame, which is not to hold it
        else:
            return reply
        finally:
            if connection is not None:
                await pool.release(connection, epoch, clean=clean)

    # ---- trouble, and the way out of it ----

    def _failed(self, reason: Reason, *, connecting: bool) -> None:
        pool = self._pool
        if reason == "readonly":
            pool.forget()  # this was a master once: the next connection asks who is
        if connecting and reason == "slow" and pool.opening and not pool.connected:
            return  # the first handshake of this client's life is under way: its end will say how the store is
        if self._breaker.failed(reason, certain=connecting):
            self._pass_on()
            self._give_up(self._heal())

    def _pass_on(self) -> None:
        if self._lookout is not None and not self._pool.closed:
            self._lookout.tell(self.name, self._breaker.reason)

    def _follow(self, lookout: Lookout, reason: Reason) -> None:
        """Another process finds it away: what both count, both must count in the same place."""
        self._breaker.follow(reason)
        self._give_up(self._wait_for_others(lookout))

    def _give_up(self, until_well: Coroutine[None, None, None]) -> None:
        self._pool.forget()
        if self._healing is None and not self._pool.closed:
            self._healing = asyncio.create_task(until_well)
        else:
            until_well.close()
        self._tell(self._breaker.reason, available=False)

    async def _heal(self) -> None:
        """Probe until the store is well; a connection that proved it is the first of the new ones."""
        breaker, lookout = self._breaker, self._lookout
        while True:
            await asyncio.sleep(breaker.wait())
            trouble = breaker.reason
            reason, seconds = await self._probe()
            if breaker.probed(reason, quick=seconds < self._options.timeout / 2):
                break
            self._pass_on()
        if lookout is not None:
            lookout.well(self.name)
            if lookout.heard(self.name) is not None:
                breaker.follow(trouble)
                await self._wait_for_others(lookout)
                return
        self._healed(trouble)

    async def _wait_for_others(self, lookout: Lookout) -> None:
        """Until nobody finds it away any more: who did has seen that it is well."""
        while lookout.heard(self.name) is not None:  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(FOLLOWING)
        trouble = self._breaker.reason
        self._breaker.close()
        self._healed(trouble)

    def _healed(self, trouble: Reason) -> None:
        self._healing = None
        self._tell(trouble, available=True)

    async def _probe(self) -> tuple[Reason | None, float]:
        """Connect, PING, and a small write, for a replica and a full server answer PING too. What ails the store, and
        how long its answers took."""
        started = asked = time.perf_counter()
        reason: Reason | None = None
        connection: AbstractConnection | None = None
        clean = False
        pool = self._pool
        epoch = pool.epoch
        try:
            connection = await pool.dial()
            if self._breaker.reason == "slow":
                # A server that runs now and then has just run, to shake hands: another moment tells more.
                await asyncio.sleep(CONFIRMING * random.random())  # noqa: S311 - guards nothing
            asked = time.perf_counter()
            for command in (("PING",), ("SET", self.probe_key, "1", "PX", 1000)):
                with Deadline(self._options.timeout):
                    await connection.send_command(*command, check_health=False)
                    await connection.read_response()
            clean = True
        except Exception as error:  # the border, as above
            failure = classify(error)
            clean = isinstance(failure, _Answered)
            reason = None if clean else failure.reason
        finally:
            if connection is not None:
                await pool.release(connection, epoch, clean=clean)
        ended = time.perf_counter()
        if self._on_call is not None:
            self._on_call(ended - started, reason)
        return reason, ended - asked

    async def close(self) -> None:
        """Close the idle connections and end the probes; connections in use close when their command ends."""
        healing, self._healing = self._healing, None
        if healing is not None:
            healing.cancel()
            await asyncio.wait([healing])
        if self._lookout is not None:
            self._lookout.well(self.name)
        await self._pool.close()
