"""A Redis stream as a queue of work: read by one consumer of a group, acknowledged and removed when done.

Only commands of Redis 6.0 and before are used (XAUTOCLAIM is of 6.2). What stands in the stream is not yet done:
entries are removed before they are acknowledged, so that a crash in between leaves an acknowledgement open, which the
next read of `pending` shows as an entry without a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.storage.client import Argument
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, RedisOptions

CLAIM_AT_ONCE = 500
FOREIGN = b"\xc1"
"""The one byte that no msgpack begins with."""


def stream_options(streams: int) -> RedisOptions:
    """For clients that read streams with BLOCK: patient, and with a connection for each blocking read."""
    return RedisOptions(timeout=5.0, connect_timeout=2.0, max_connections=streams + 4, client_name="gateway-bookkeeper")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `value` is None when it is gone from the stream; of an entry that has not the one field that ours
    have it is something that nobody can decode."""

    id: bytes
    value: bytes | None


class StreamGroup:
    """One stream, seen by one consumer of one group. Every method raises StoreUnavailable."""

    def __init__(self, redis: RedisClient, key: str, group: str, consumer: str, field: bytes = b"e") -> None:
        self.key = key
        self._redis = redis
        self._group = group
        self._consumer = consumer
        self._field = field

    def __repr__(self) -> str:
        return f"<StreamGroup {self.key} {self._group}/{self._consumer}>"

    async def create(self) -> None:
        """Make stream and group if they are missing: the group begins with the oldest entry."""
        try:
            await self._execute("XGROUP", "CREATE", self.key, self._group, "0", "MKSTREAM")
        except StoreUnavailable as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def fresh(self, count: int, block: float | None = None) -> list[Entry]:
        """Entries that no consumer was given yet; waits up to `block` seconds for the first one."""
        waiting = () if block is None else ("BLOCK", max(1, round(block * 1000)))
        return await self._read(b">", "COUNT", count, *waiting)

    async def pending(self, count: int) -> list[Entry]:
        """The oldest entries that this consumer was given and has not acknowledged."""
        return await self._read(b"0", "COUNT", count)

    async def claim(self, idle: float) -> int:
        """Take over what other consumers have left lying for `idle` seconds; `pending` then shows it. How much."""
        listed = await self._execute("XPENDING", self.key, self._group, "-", "+", CLAIM_AT_ONCE)
        least = round(idle * 1000)
        left = [
            id_ for id_, owner, since, _ in listed or [] if owner != self._consumer.encode() and int(since) >= least
        ]
        if not left:
            return 0
        claimed = await self._execute(
            "XCLAIM", self.key, self._group, self._consumer, least, *left, "RETRYCOUNT", 1, "JUSTID"
        )
        return len(claimed)

    async def done(self, ids: list[bytes]) -> None:
        """Remove and acknowledge."""
        await self._execute("XDEL", self.key, *ids)
        await self._execute("XACK", self.key, self._group, *ids)

    async def set_aside(self, key: str, value: bytes, keep: int) -> None:
        """Keep a value that cannot be worked on in another stream, of about `keep` entries."""
        await self._execute("XADD", key, "MAXLEN", "~", keep, "*", self._field, value)

    async def tail(self) -> bytes | None:
        """The newest entry's id; None: the stream is empty."""
        return _first_id(await self._execute("XREVRANGE", self.key, "+", "-", "COUNT", 1))

    async def oldest(self, until: bytes = b"+") -> bytes | None:
        """The oldest entry's id, of those up to `until`; None: all of them are done."""
        return _first_id(await self._execute("XRANGE", self.key, "-", until, "COUNT", 1))

    async def length(self) -> int:
        """Entries that are not done."""
        return int(await self._execute("XLEN", self.key))

    async def _execute(self, *command: Argument) -> Any:
        # A Cluster must be told the key: in these commands it does not come first.
        return await self._redis.execute(*command, key=self.key)

    async def _read(self, start: bytes, *options: str | int) -> list[Entry]:
        reply = await self._execute(
            "XREADGROUP", "GROUP", self._group, self._consumer, *options, "STREAMS", self.key, start
        )
        return [Entry(id_, self._value(fields)) for id_, fields in _entries(reply)]

    def _value(self, fields: list[bytes] | None) -> bytes | None:
        if not fields:
            return None
        return fields[1] if fields[0] == self._field and len(fields) == 2 else FOREIGN + b"\0".join(fields)


def group_is_missing(error: StoreUnavailable) -> bool:
    """The stream or its group is gone: the server was flushed, or lost its data."""
    return "NOGROUP" in str(error)


def milliseconds(entry_id: bytes) -> int:
    """When the entry was made, in Unix milliseconds of the server's clock."""
    return int(entry_id.partition(b"-")[0])


def _entries(reply: Any) -> list[Any]:
    """The entries of a reply about one stream; redis-py turns the reply of RESP3 into a mapping."""
    if not reply:
        return []
    ((_, entries),) = reply.items() if isinstance(reply, dict) else reply
    return list(entries)


def _first_id(entries: Any) -> bytes | None:
    return bytes(entries[0][0]) if entries else None
