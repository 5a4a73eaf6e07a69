"""The keys in Redis: one hash from digest to record, with a mark that says how whole it is.

The mark stands in the same hash, so that a flush, an eviction or a deletion takes both: without it a missing record
means nothing. Every change is published on a channel, with the revisions before and after it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import chain, islice
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.auth.records import Change
    from gateway.storage.redis import RedisClient

HASH = "gw:keys"
MARK = b"mark"
CHANNEL = "gw:keys:changed"
_ASIDE_SECONDS = 60
_CHUNK = 250
"""Digests or records per command: each takes the server well under a millisecond."""


class Mark(msgspec.Struct, frozen=True):
    """How whole the hash is."""

    epoch: str
    """Another one each time the hash is filled anew."""
    revision: int
    """Of the database: every change up to it is here. 0: no key was ever created."""
    whole: bool = True
    """The hash has as many records as it should."""


class Look(msgspec.Struct, frozen=True):
    """What is known of some digests at one moment."""

    mark: Mark | None
    records: list[bytes | None]
    """In the order they were asked for."""


class Notice(msgspec.Struct, frozen=True):
    """A published change. `before` and `after` are revisions; equal ones mean that a part was left to others."""

    epoch: str
    before: int
    after: int
    revoked: frozenset[bytes]
    changed: frozenset[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[bytes], list[bytes]]).decode


def read_notice(message: bytes) -> Notice:
    """Raises ValueError for what is no notice."""
    head, _, payload = message.partition(b"\n")
    epoch, before, after = head.decode().split(" ")
    revoked, changed = _decode(payload)
    return Notice(epoch, int(before), int(after), frozenset(revoked), frozenset(changed))


def _notice(revoked: Sequence[bytes], changed: Sequence[bytes]) -> bytes:
    return _encode((revoked, changed))


class Keyring:
    """The hash, over one client. Every method raises StoreUnavailable."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        lua = files("gateway.auth").joinpath("lua")
        self._look, self._apply, self._replace = (
            redis.script(lua.joinpath(name).read_bytes(), name) for name in ("look.lua", "apply.lua", "replace.lua")
        )

    async def look(self, digests: Sequence[bytes] = ()) -> Look:
        """Records of at most 1,000 digests, and the mark of the same moment."""
        mark, fields, records = await self._look.run([HASH], digests)
        if mark is None:
            return Look(None, records)
        epoch, revision, count = mark.decode().split(" ")
        return Look(Mark(epoch, int(revision), int(count) == fields - 1), records)

    async def apply(self, change: Change) -> bool:
        """Bring a change in and tell the workers; False when some of it has to wait for the bookkeeper.

        A change of more than a few hundred keys is told and removed whole, and written in several steps.
        """
        live = list(change.live.items())
        whole = True
        for start in range(0, max(1, len(live)), _CHUNK):
            part = live[start : start + _CHUNK]
            gone = change.gone if start == 0 else []
            notice = _notice(gone, [digest for digest, _ in part])
            last = int(start + _CHUNK >= len(live))
            head = (CHANNEL, notice, change.since, change.revision, last, len(gone))
            done = await self._apply.run([HASH], [*head, *gone, *chain.from_iterable(part)])
            whole = whole and bool(done)
        return whole

    async def replace(self, records: Mapping[bytes, bytes], revision: int, *, force: bool = False) -> bool:
        """Fill the hash anew, in one step for those who read it; False when a later revision is there already.

        `force` replaces that too: it is of another database, or of a state that the database has lost.
        """
        # In braces stands the part that decides the slot on a cluster: that of the hash itself.
        aside = f"{{{HASH}}}:{secrets.token_hex(8)}"
        items = iter(records.items())
        while part := list(islice(items, _CHUNK)):
            await self._redis.execute("HSET", aside, *chain.from_iterable(part))
            await self._redis.execute("EXPIRE", aside, _ASIDE_SECONDS)
        done = await self._replace.run(
            [HASH, aside], [CHANNEL, _notice([], []), secrets.token_hex(6), revision, int(force)]
        )
        return bool(done)
