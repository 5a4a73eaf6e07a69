"""Writes of one turn: in order, together, never lost to a close that flushes, never held past their bound."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from gateway.corking import MOST, flush, turn_of


class Wire:
    """A transport that remembers."""

    def __init__(self, log: list[tuple[str, bytes]], name: str) -> None:
        self.log = log
        self.name = name
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.log.append((self.name, data))

    def cork(self, data: bytes) -> None:
        """Write as the gateway does."""
        turn_of(asyncio.get_running_loop()).write(cast("asyncio.WriteTransport", self), data)


@pytest.fixture
def log() -> list[tuple[str, bytes]]:
    """What was written, in order."""
    return []


async def test_a_turns_writes_leave_at_its_end_in_order(log: list[tuple[str, bytes]]) -> None:
    """Nothing is written within the turn; after it everything is, in the order of the calls."""
    a, b = Wire(log, "a"), Wire(log, "b")
    a.cork(b"1")
    b.cork(b"2")
    a.cork(b"3")
    assert log == []
    await asyncio.sleep(0)
    assert log == [("a", b"1"), ("b", b"2"), ("a", b"3")]


async def test_a_long_turn_holds_back_few(log: list[tuple[str, bytes]]) -> None:
    """At most `MOST` - 1 writes wait: the next one takes them along at once."""
    wire = Wire(log, "a")
    for number in range(MOST + 1):
        wire.cork(b"%d" % number)
    assert len(log) == MOST
    await asyncio.sleep(0)
    assert [data for _, data in log] == [b"%d" % number for number in range(MOST + 1)]


async def test_flush_writes_now_and_once(log: list[tuple[str, bytes]]) -> None:
    """What is flushed does not leave again at the end of the turn."""
    wire = Wire(log, "a")
    wire.cork(b"1")
    flush()
    assert log == [("a", b"1")]
    await asyncio.sleep(0)
    assert log == [("a", b"1")]


async def test_a_closing_transport_is_left_alone(log: list[tuple[str, bytes]]) -> None:
    """What was meant for a connection that went away is dropped; the others get theirs."""
    gone, there = Wire(log, "gone"), Wire(log, "there")
    gone.cork(b"1")
    there.cork(b"2")
    gone.closing = True
    await asyncio.sleep(0)
    assert log == [("there", b"2")]


def test_a_loop_that_ended_leaves_nothing_to_the_next(log: list[tuple[str, bytes]]) -> None:
    """Writes that a stopped loop never made do not keep the next loop of the thread from writing."""
    first, second = Wire(log, "first"), Wire(log, "second")
    loop = asyncio.new_event_loop()
    loop.call_soon(first.cork, b"1")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()

    async def write() -> None:
        second.cork(b"2")
        await asyncio.sleep(0)

    asyncio.run(write())
    assert log == [("second", b"2")]
