"""Servers, Sentinels and Clusters as real processes on 127.0.0.1, for tests that break them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from gateway.storage.errors import StoreUnavailable
from gateway.storage.guard import default_guard
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.server_binary import find_server
from gateway.storage.slots import SLOTS
from tests.support.waiting import eventually, pause, until

PATIENT = RedisOptions(timeout=10.0)
_SOON = ("--repl-diskless-sync-delay", "0")  # replicas need not wait 5 s for company


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Server:
    """One server process, to be killed, paused and started again on the same port with the same data."""

    def __init__(self, home: Path, port: int, options: Sequence[str] = (), config: str = "") -> None:
        self.home = home
        self.port = port
        self.options = list(options)
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = default_guard()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *options: str) -> None:
        """Start, and return once the port answers."""
        self.home.mkdir(exist_ok=True)
        head: list[str] = []
        if self._config:
            file = self.home / "server.conf"
            file.write_text(self._config)
            head = [str(file)]
        command = [str(find_server()), *head, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.home)]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self.options, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=self._guard.preexec,  # noqa: PLW1509 - tests have no threads
            )
        until(self._listens)

    def kill(self) -> None:
        """kill -9, and return once it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        pause(self.pid)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.home / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        yield Path(directory)


@contextmanager
def servers(ports: Sequence[int], *options: str, save: str = "") -> Iterator[list[Server]]:
    """Plain servers, started."""
    with home() as directory, ExitStack() as stack:
        found = [Server(directory / str(port), port, ["--save", save, *_SOON, *options]) for port in ports]
        for server in found:
            stack.callback(server.kill)
            server.start()
        yield found


@asynccontextmanager
async def clients(*urls: str, options: RedisOptions = PATIENT) -> AsyncIterator[list[RedisClient]]:
    """Clients, closed at the end."""
    async with AsyncExitStack() as stack:
        found = [connect(url, options) for url in urls]
        for client in found:
            stack.push_async_callback(client.close)
        yield found


async def works(client: RedisClient, *command: Any) -> bool:
    """Whether the store does the command now."""
    try:
        await client.execute(*command)
    except StoreUnavailable:
        return False
    return True


# ---- Sentinel ----

MASTER_NAME = "main"


class Watched:
    """A master, its replica, and three Sentinels."""

    def __init__(self, data: list[Server], sentinels: list[Server], client: dict[int, RedisClient]) -> None:
        self.data = data
        self.sentinels = sentinels
        self.client = client
        """By port."""

    @property
    def url(self) -> str:
        """Its first Sentinel is none: nobody listens there."""
        ports = [*free_ports(1), *(server.port for server in self.sentinels)]
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in ports)}/{MASTER_NAME}"

    async def master_port(self, sentinel: Server) -> int:
        """The master's port, as one Sentinel sees it."""
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        return int((await self.client[sentinel.port].execute(*command))[1])


@contextmanager
def lone_sentinel(master: int, *lines: str) -> Iterator[Server]:
    """One Sentinel that was told of a master, true or not."""
    config = "\n".join((f"sentinel monitor {MASTER_NAME} 127.0.0.1 {master} 1", *lines, ""))
    with home() as directory:
        sentinel = Server(directory / "sentinel", free_ports(1)[0], ["--sentinel"], config)
        try:
            sentinel.start()
            yield sentinel
        finally:
            sentinel.kill()


def _sentinel_config(master: int) -> str:
    return (
        f"sentinel monitor {MASTER_NAME} 127.0.0.1 {master} 2\n"
        f"sentinel down-after-milliseconds {MASTER_NAME} 1000\n"
        f"sentinel failover-timeout {MASTER_NAME} 1500\n"
    )


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    """Two servers under three Sentinels that know each other and the replica."""
    ports = free_ports(5)
    with home() as directory, servers(ports[:2]) as data, ExitStack() as stack:
        data[1].kill()
        data[1].start("--replicaof", f"127.0.0.1 {ports[0]}")
        config = _sentinel_config(ports[0])
        sentinels = [Server(directory / str(port), port, ["--sentinel"], config) for port in ports[2:]]
        async with clients(*(f"redis://127.0.0.1:{port}" for port in ports)) as made:
            by_port = dict(zip(ports, made, strict=True))
            for sentinel in sentinels:
                stack.callback(sentinel.kill)
                sentinel.start()
                # Shorter than the defaults of 1 to 10 s: they only decide how soon what the test does is noticed.
                # Not too short: a replica unheard of for five pings is not promoted.
                periods = ("info-period", 300, "publish-period", 200, "ping-period", 500, "ask-period", 100)
                await by_port[sentinel.port].execute("SENTINEL", "DEBUG", *periods)

            async def ready() -> bool:
                for sentinel in sentinels:
                    reply = await by_port[sentinel.port].execute("SENTINEL", "MASTER", MASTER_NAME)
                    facts = dict(zip(reply[::2], reply[1::2], strict=True))
                    if facts[b"num-slaves"] != b"1" or facts[b"num-other-sentinels"] != b"2":
                        return False
                replication = await by_port[ports[1]].execute("INFO", "replication")
                return b"master_link_status:up" in replication

            await eventually(ready)
            yield Watched(data, sentinels, by_port)


# ---- Cluster ----


class Cluster:
    """Three masters, and a replica of the first."""

    def __init__(self, nodes: list[Server], client: list[RedisClient], ids: list[str]) -> None:
        self.nodes = nodes
        self.client = client
        """One for each node, not routing anything."""
        self.ids = ids

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)


_CLUSTER = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0")


@asynccontextmanager
async def cluster(*, replica: bool = True) -> AsyncIterator[Cluster]:
    """A Cluster whose every slot is served, and whose every node knows it."""
    count = 4 if replica else 3
    ports = free_ports(2 * count)
    with home() as directory, ExitStack() as stack:
        nodes = []
        for port, bus in zip(ports[:count], ports[count:], strict=True):
            nodes.append(
                Server(directory / str(port), port, ["--save", "", *_SOON, *_CLUSTER, "--cluster-port", str(bus)])
            )
            stack.callback(nodes[-1].kill)
            nodes[-1].start()
        async with clients(*(node.url for node in nodes)) as made:
            ids = [(await client.execute("CLUSTER", "MYID")).decode() for client in made]
            share = SLOTS // 3 + 1
            for index, client in enumerate(made[:3]):
                last = min((index + 1) * share, SLOTS) - 1
                await client.execute("CLUSTER", "ADDSLOTSRANGE", index * share, last)
                await client.execute("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            for client in made:  # everybody with everybody: gossip alone would take seconds
                for port, bus in zip(ports[:count], ports[count:], strict=True):
                    await client.execute("CLUSTER", "MEET", "127.0.0.1", port, bus)
            await eventually(lambda: _all_know(made, count))
            if replica:
                await made[3].execute("CLUSTER", "REPLICATE", ids[0])
                await eventually(lambda: _replicates(made[3]))
            yield Cluster(nodes, made, ids)


async def _all_know(made: list[RedisClient], count: int) -> bool:
    facts = await asyncio.gather(*(client.execute("CLUSTER", "INFO") for client in made))
    return all(b"cluster_state:ok" in fact and f"cluster_known_nodes:{count}".encode() in fact for fact in facts)


async def _replicates(client: RedisClient) -> bool:
    return b"master_link_status:up" in await client.execute("INFO", "replication")
