"""A real database and a real Redis, and the rooms of the keys on them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.drafts import Draft
from gateway.auth.issue import Issued, Issuer
from gateway.auth.keyring import CHANNEL, Keyring
from gateway.auth.mirror import Mirror
from gateway.auth.store import CachePolicy, Keys
from gateway.errors import GatewayError
from gateway.registry.snapshot import Snapshot
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.pubsub import Subscription
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.sql.database import Database
from gateway.storage.sql.errors import DatabaseUnavailable
from gateway.storage.sql.migrate import migrate
from tests.support.store import own_store
from tests.support.waiting import eventually

PATIENT = RedisOptions(timeout=10.0, connect_timeout=10.0)
"""For tests in which the server's speed is not the question."""
EAGER = CachePolicy(poll=0.05)


class Time:
    """A clock that tests set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def server_of_a_test() -> Iterator[EmbeddedRedis]:
    with own_store() as server:
        yield server


@pytest.fixture(scope="session")
def shared_server() -> Iterator[EmbeddedRedis]:
    """One server for the tests of this process; each begins with an empty one."""
    yield from server_of_a_test()


@pytest.fixture
def own_server() -> Iterator[EmbeddedRedis]:
    """A server of this test's own, to be paused and killed."""
    yield from server_of_a_test()


@pytest.fixture
async def redis(shared_server: EmbeddedRedis) -> AsyncIterator[RedisClient]:
    client = connect(shared_server.url, PATIENT)
    await client.execute("FLUSHALL")
    yield client
    await client.close()


@pytest.fixture
def keyring(redis: RedisClient) -> Keyring:
    return Keyring(redis)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sql") / "gateway.db"
    migrate(path)
    return path


@pytest.fixture
def database_path(empty_database: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty_database, tmp_path / "gateway.db"))


@pytest.fixture
async def database(database_path: Path) -> AsyncIterator[Database]:
    found = Database(database_path)
    yield found
    await found.close()


@pytest.fixture
def wall() -> Time:
    return Time(1_800_000_000.0)


@pytest.fixture
def issuer(database: Database, wall: Time) -> Issuer:
    return Issuer(database, wall)


@pytest.fixture
def mirror(issuer: Issuer, keyring: Keyring) -> Mirror:
    return Mirror(issuer, keyring, unavailable=(DatabaseUnavailable,))


class Office:
    """Creates, rotates and revokes as the command does: in the database, then told to Redis."""

    def __init__(self, issuer: Issuer, keyring: Keyring) -> None:
        self.issuer = issuer
        self.keyring = keyring

    async def create(self, name: str = "ci", **more: Any) -> bytes:
        """The secret."""
        return await self._tell(await self.issuer.create(Draft(name, **more), "test"))

    async def rotate(self, name: str = "ci", grace: float = 60.0) -> bytes:
        return await self._tell(await self.issuer.rotate(name, grace))

    async def revoke(self, name: str = "ci") -> None:
        await self._tell(await self.issuer.revoke(name))

    async def _tell(self, issued: Issued) -> bytes:
        await self.keyring.apply(issued.change)
        return issued.secret.encode()


@pytest.fixture
def office(issuer: Issuer, keyring: Keyring) -> Office:
    return Office(issuer, keyring)


class Workers:
    """Makes what one worker has: its keys, kept true, with or without a subscription."""

    def __init__(self, stack: AsyncExitStack, url: str, clock: Time, wall: Time) -> None:
        self._stack = stack
        self._url = url
        self.clock = clock
        self.wall = wall
        self.calls = 0

    def __call__(self, options: RedisOptions = PATIENT, **more: Any) -> Keys:
        """Keys that nothing runs for: they change when they are asked, polled or told."""
        client = connect(self._url, options, self._count)
        self._stack.push_async_callback(client.close)
        keys = Keys(client, clock=self.clock, wall=self.wall, **more)
        self._stack.push_async_callback(keys.close)
        return keys

    async def running(self, *, subscribed: bool = True, policy: CachePolicy = EAGER, **more: Any) -> Keys:
        """Keys that are kept true, and listen if `subscribed`."""
        keys = self(policy=policy, **more)
        self._run(keys.run())
        if subscribed:
            client = connect(self._url, PATIENT)
            self._stack.push_async_callback(client.close)
            subscription = Subscription(client.dial, CHANNEL, keys.notice, keys.missed)
            self._run(subscription.run())
            await eventually(lambda: subscription.alive)
        return keys

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(end)

    def _count(self, seconds: float, reason: str | None) -> None:
        self.calls += 1


@pytest.fixture
async def workers(redis: RedisClient, shared_server: EmbeddedRedis, wall: Time) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        yield Workers(stack, shared_server.url, Time(1000.0), wall)


EMPTY = Snapshot("rev")


async def ready(mirror: Mirror, office: Office, name: str = "ci") -> bytes:
    """A mirror that holds one key: its secret."""
    await mirror.step()
    return await office.create(name)


async def refusal(keys: Keys, credential: bytes, snapshot: Snapshot = EMPTY) -> type[GatewayError]:
    """The class of what `find` raises."""
    with pytest.raises(GatewayError) as refused:
        await keys.find(snapshot, credential)
    return type(refused.value)
