"""The client of a Redis Cluster: each command goes to the node that serves its key's slot, as NodeClient sends it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gateway.storage.breaker import StoreBreaker
from gateway.storage.client import Argument, Connector, Key, OnCall, RedisClient, RedisOptions
from gateway.storage.errors import SICK, Reason, Redirected, SlotMoving, StoreUnavailable
from gateway.storage.node import PROBE_KEY, NodeClient
from gateway.storage.slots import SLOTS, Address, SlotMap, key_of, key_slot, read_slots

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

_HOPS = 5
_MAP_SECONDS = 0.5
"""How long one node may take to tell the map."""
_MOVING_WAIT = 0.005


class ClusterClient(RedisClient):
    """A client per node, and the map of slots. The map is learnt on first use, and again after every surprise."""

    cluster = True

    def __init__(
        self,
        seeds: Sequence[Address],
        dial: Callable[[Address], Connector],
        options: RedisOptions,
        on_call: OnCall | None = None,
    ) -> None:
        super().__init__(options)
        self._seeds = tuple(seeds)
        self._dial = dial
        self._on_call = on_call
        self._nodes: dict[Address, NodeClient] = {}
        self._map = SlotMap()
        self._learning: asyncio.Task[None] | None = None
        self._healing: asyncio.Task[None] | None = None
        self._breaker = StoreBreaker(time.monotonic, random.random)
        """Of the attempts to learn the map; nodes have their own."""
        self._was_available = True
        self._closed = False

    def __repr__(self) -> str:
        return f"<ClusterClient nodes={len(self._nodes)} slots={self._map.covered} available={self._was_available}>"

    @property
    def available(self) -> bool:
        """Whether every slot's node is thought well."""
        return self._was_available

    def connection(self) -> AbstractConnection:
        """A new connection to any node: one that is thought well, if there is such a one."""
        known = [address for address, node in self._nodes.items() if node.available] or self._seeds
        return self._dial(random.choice(known))()  # noqa: S311 - spreads load

    async def execute(self, *command: Argument, key: Key | None = None) -> Any:
        """One command, one reply, from the node that serves its key. Raises StoreUnavailable."""
        deadline = time.monotonic() + self._options.timeout
        if not self._map:
            await self._first_map(deadline)
        if key is None:
            key = key_of(command)
        node, asking = self._serving(None if key is None else key_slot(key)), False
        hops = 0
        while hops <= _HOPS:
            left = max(0.001, deadline - time.monotonic())
            try:
                return await node.run(command, left, asking=asking)
            except Redirected as error:
                node, asking, hops = self._follow(error, node), error.ask, hops + 1
            except SlotMoving:
                if left < 2 * _MOVING_WAIT:
                    raise
                await asyncio.sleep(_MOVING_WAIT)
            except StoreUnavailable as error:
                if error.reason in SICK and node.available:  # else its failover is being watched for already
                    self._learn_soon()
                raise
        raise StoreUnavailable("error", "the Cluster sends this command from node to node")

    def _serving(self, slot: int | None) -> NodeClient:
        if slot is None:
            nodes = [self._node(address) for address in self._map.masters]
            return random.choice([node for node in nodes if node.available] or nodes)  # noqa: S311 - spreads load
        address = self._map.owner(slot)
        if address is None:
            self._learn_soon()
            raise StoreUnavailable("down", "no node of the Cluster serves this slot")
        return self._node(address)

    def _follow(self, error: Redirected, node: NodeClient) -> NodeClient:
        address = (error.host or node.name.rpartition(":")[0], error.port)
        if not error.ask:
            self._map.moved(error.slot, address)
            self._learn_soon()
        return self._node(address)

    def _node(self, address: Address) -> NodeClient:
        node = self._nodes.get(address)
        if node is None:
            name = f"{address[0]}:{address[1]}"
            node = self._nodes[address] = NodeClient(self._dial(address), self._options, self._on_call, name=name)
            node.on_change(lambda _, reason: self._changed(reason))
            node.on_connect(self._connected)
        return node

    # ---- the map ----

    async def _first_map(self, deadline: float) -> None:
        """Wait for the map until the deadline. Raises StoreUnavailable."""
        if self._breaker.open:
            raise StoreUnavailable(self._breaker.reason, "no node of the Cluster tells who serves what")
        task = self._learn_soon()
        done, _ = await asyncio.wait([task], timeout=max(0.001, deadline - time.monotonic()))
        if not self._map:
            raise StoreUnavailable(self._breaker.reason if done else "slow", "the Cluster's map of slots is not known")

    def _learn_soon(self) -> asyncio.Task[None]:
        if self._learning is None:
            self._learning = asyncio.create_task(self._learn())
        return self._learning

    async def _learn(self) -> None:
        try:
            best, trouble = await self._ask()
            if best:
                self._breaker.probed(None)
                await self._use(best)
            else:
                self._breaker.failed(trouble, certain=True)
                self._breaker.reason = trouble
            self._changed(trouble)
        finally:
            self._learning = None

    async def _ask(self) -> tuple[SlotMap, Reason]:
        """Ask node after node until one tells a map without gaps; else the fullest; and the last trouble."""
        best, trouble = SlotMap(), self._breaker.reason
        for node in tuple(self._candidates()):
            try:
                reply = await node.run(("CLUSTER", "SLOTS"), max(_MAP_SECONDS, self._options.timeout))
            except StoreUnavailable as error:
                trouble = error.reason
                continue
            found = read_slots(reply, node.name.rpartition(":")[0])
            if found.covered > best.covered:
                best = found
            if best.covered == SLOTS:
                break
        return best, trouble

    def _candidates(self) -> Iterator[NodeClient]:
        """Whom to ask: nodes that are well, then seeds that are not known yet."""
        known = [node for node in self._nodes.values() if node.available]
        random.shuffle(known)
        yield from known
        yield from (self._node(address) for address in self._seeds if address not in self._nodes)

    async def _use(self, found: SlotMap) -> None:
        self._map = found
        masters = found.masters
        gone = [self._nodes.pop(address) for address in tuple(self._nodes) if address not in masters]
        for address in masters:
            self._node(address).probe_key = found.key_at(address, PROBE_KEY) or PROBE_KEY
        for node in gone:
            await node.close()

    # ---- trouble ----

    def _changed(self, reason: str) -> None:
        """A node fell sick or got well, or the map changed: look again at the whole."""
        if self._closed:
            return
        nodes = [self._nodes.get(address) for address in self._map.masters]
        now = not self._breaker.open and all(node is None or node.available for node in nodes)
        if not now and self._healing is None:
            self._healing = asyncio.create_task(self._heal())
        if now != self._was_available:
            self._was_available = now
            self._tell(reason, available=now)

    async def _heal(self) -> None:
        """While anything is away, ask again who serves what: a failover moves its slots to another node."""
        wait = StoreBreaker(time.monotonic, random.random).wait
        while not self._was_available and not self._closed:
            await asyncio.sleep(wait())
            await asyncio.wait([self._learn_soon()])
        self._healing = None

    async def close(self) -> None:
        """Close every node's client."""
        self._closed = True
        for task in (self._healing, self._learning):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        for node in self._nodes.values():
            await node.close()
