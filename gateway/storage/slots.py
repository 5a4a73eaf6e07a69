"""Which slot of a Cluster a key lives in, which key a command is about, and which node serves a slot.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

import binascii
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.storage.client import Argument, Key

SLOTS = 16384
Address = tuple[str, int]
"""Host and port."""

_KEYLESS = frozenset(
    {"CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "ECHO", "FLUSHALL", "INFO", "KEYS", "LATENCY", "PING"}
    | {"PUBSUB", "REPLICAOF", "ROLE", "SCAN", "SCRIPT", "SHUTDOWN", "SLOWLOG", "TIME", "WAIT"}
)
_COUNTED = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})
_SECOND = frozenset({"XINFO", "XGROUP", "OBJECT", "MEMORY"})


def key_slot(key: Key) -> int:
    """The slot of a key: CRC16 (XMODEM) of its hash tag, the text within the first `{…}` that is not empty."""
    raw = key.encode() if isinstance(key, str) else key
    start = raw.find(b"{")
    if start >= 0:
        end = raw.find(b"}", start + 1)
        if end > start + 1:
            raw = raw[start + 1 : end]
    return binascii.crc_hqx(raw, 0) % SLOTS


def name_of(command: Sequence[Argument]) -> str:
    """The command's name in capitals."""
    return _text(command[0]).split(" ", 1)[0]


def key_of(command: Sequence[Argument]) -> Key | None:
    """The first key of a command as this gateway uses it, or None when it has none."""
    name = name_of(command)
    if name in _KEYLESS:
        return None
    place = 1
    if name in _COUNTED:
        place = 3 if len(command) > 2 and int(command[2]) else len(command)
    elif name in _SECOND:
        place = 2
    elif name in ("XREAD", "XREADGROUP"):
        place = next((i + 1 for i, word in enumerate(command) if i and _text(word) == "STREAMS"), len(command))
    key = command[place] if place < len(command) else None
    return key if key is None or isinstance(key, (str, bytes)) else str(key)


def _text(word: Argument) -> str:
    return (word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)).upper()


class SlotMap:
    """Who serves which slot: ranges, as the Cluster told them, and what redirections have corrected since."""

    def __init__(self, ranges: Iterable[tuple[int, int, Address]] = ()) -> None:
        """`ranges`: first slot, last slot, master."""
        self._ranges = sorted(ranges)
        self._starts = [first for first, _, _ in self._ranges]
        self._moved: dict[int, Address] = {}

    def __bool__(self) -> bool:
        return bool(self._ranges)

    @property
    def covered(self) -> int:
        """How many slots somebody serves."""
        return sum(last - first + 1 for first, last, _ in self._ranges)

    @property
    def masters(self) -> frozenset[Address]:
        """Every node that serves a slot."""
        return frozenset(address for _, _, address in self._ranges) | frozenset(self._moved.values())

    def owner(self, slot: int) -> Address | None:
        """The node that serves a slot, as far as is known."""
        found = self._moved.get(slot)
        if found is not None:
            return found
        place = bisect_right(self._starts, slot) - 1
        if place < 0 or slot > self._ranges[place][1]:
            return None
        return self._ranges[place][2]

    def moved(self, slot: int, address: Address) -> None:
        """A redirection said so."""
        self._moved[slot] = address

    def key_at(self, address: Address, prefix: str, tries: int = 512) -> str | None:
        """A key that the node holds: the prefix and a tag found by trial. The numbers from 0 come first."""
        for number in range(tries):
            key = f"{prefix}:{{{number}}}"
            if self.owner(key_slot(key)) == address:
                return key
        return None


def read_slots(reply: Sequence[Any], answered_by: str) -> SlotMap:
    """The answer to CLUSTER SLOTS. A node that does not know its own name is the one that answered (`answered_by`)."""
    ranges = []
    for first, last, master, *_ in reply:
        host = (master[0] or b"").decode()
        ranges.append((int(first), int(last), (host if host not in ("", "?") else answered_by, int(master[1]))))
    return SlotMap(ranges)
