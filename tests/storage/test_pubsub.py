"""A subscription: what is published arrives, through lost connections and servers that hang."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.storage import pubsub
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.node import NodeClient
from gateway.storage.pubsub import Subscription
from tests.support.waiting import eventually, pause

MakeClient = Callable[..., NodeClient]


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.joins = 0

    def hear(self, message: bytes) -> None:
        self.messages.append(message)
        if message == b"bad":
            raise RuntimeError("a listener's fault")

    def join(self) -> None:
        self.joins += 1


@asynccontextmanager
async def listening(client: NodeClient, ear: Ear) -> AsyncIterator[Subscription]:
    """A subscription that is alive."""
    found = Subscription(client.dial, "news", ear.hear, ear.join)
    task = asyncio.create_task(found.run())
    try:
        await true(lambda: found.alive)
        yield found
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not found.alive


async def true(condition: Callable[[], object]) -> None:
    async def look() -> object:
        return condition()

    await eventually(look)


async def test_messages_arrive_in_order(make_client: MakeClient) -> None:
    """All of them, any bytes, on this channel only."""
    client, ear = make_client(), Ear()
    wanted = [b"", b"\r\n\0\xff", *(b"%d" % n for n in range(200)), b"x" * 100_000]
    async with listening(client, ear):
        await client.execute("PUBLISH", "other", "no")
        for message in wanted:
            await client.execute("PUBLISH", "news", message)
        await true(lambda: len(ear.messages) == len(wanted))
    assert ear.messages == wanted
    assert ear.joins == 1


async def test_a_broken_connection_is_replaced(make_client: MakeClient) -> None:
    """The listener is told that it listens again: what was published meanwhile is lost."""
    client, ear = make_client(), Ear()
    async with listening(client, ear) as subscription:
        for n in range(2, 5):
            await client.execute("CLIENT", "KILL", "TYPE", "pubsub")
            await true(lambda n=n: ear.joins == n and subscription.alive)  # type: ignore[misc]
        await client.execute("PUBLISH", "news", "still here")
        await true(lambda: ear.messages)


async def test_a_server_that_starts_again(make_client: MakeClient, server: EmbeddedRedis) -> None:
    """It is found again, however long it was away."""
    client, ear = make_client(), Ear()
    async with listening(client, ear) as subscription:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await true(lambda: not subscription.alive)
        await true(server.check)
        await true(lambda: subscription.alive)
    assert ear.joins == 2


async def test_a_server_that_hangs(
    make_client: MakeClient, server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence counts as a lost connection after a few unanswered questions."""
    monkeypatch.setattr(pubsub, "PING_EVERY", 0.05)
    client, ear = make_client(), Ear()
    async with listening(client, ear) as subscription:
        await asyncio.sleep(0.5)  # ten silent spans in which the server answers
        assert ear.joins == 1
        assert server.pid is not None
        pause(server.pid)
        try:
            await true(lambda: not subscription.alive)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        await true(lambda: subscription.alive)
    assert ear.joins >= 2


async def test_a_listener_that_fails_is_logged(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    """And hears the next message."""
    client, ear = make_client(), Ear()
    with caplog.at_level(logging.ERROR, "gateway.storage.pubsub"):
        async with listening(client, ear):
            for message in ("bad", "good"):
                await client.execute("PUBLISH", "news", message)
            await true(lambda: ear.messages == [b"bad", b"good"])
    assert ear.joins == 1
    assert [record.getMessage() for record in caplog.records] == ["a message of news could not be handled"]
