"""Keys, slots and the map between them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot as reference

from gateway.storage.slots import SLOTS, SlotMap, key_of, key_slot, read_slots


def test_known_vectors() -> None:
    """The CRC's check value and the examples of the Cluster specification."""
    assert key_slot("123456789") == 0x31C3 % SLOTS
    assert key_slot("foo") == 12182
    assert key_slot("{user1000}.following") == key_slot("{user1000}.followers") == key_slot("user1000")
    assert key_slot("foo{}{bar}") != key_slot("bar")
    assert key_slot("foo{{bar}}zap") == key_slot("{bar")
    assert key_slot("foo{bar}{zap}") == key_slot("bar")


@given(st.binary(max_size=40) | st.text("a{}", max_size=8).map(str.encode))
def test_slots_as_redis_py_has_them(key: bytes) -> None:
    """Every key's slot is the one that redis-py computes."""
    assert key_slot(key) == reference(key)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "k"), "k"),
        ((b"hscan", b"k", 0), b"k"),
        (("ZRANGEBYSCORE", "k", "-inf", 5), "k"),
        (("EVALSHA", "sha", 2, "k", "l", "arg"), "k"),
        (("EVAL", "return 1", 0, "arg"), None),
        (("XREADGROUP", "GROUP", "g", "c", "COUNT", 5, "STREAMS", "k", ">"), "k"),
        (("XGROUP", "CREATE", "k", "g", "$"), "k"),
        (("XINFO", "STREAM", "k"), "k"),
        (("XADD", "k", "*", "e", b"1"), "k"),
        (("PUBLISH", "channel", "m"), "channel"),
        (("PING",), None),
        (("CLUSTER", "SLOTS"), None),
        (("SCRIPT FLUSH",), None),
        (("GET",), None),
    ],
)
def test_first_key(command: tuple[Any, ...], key: Any) -> None:
    """A command is routed by its first key; one without keys may go anywhere."""
    assert key_of(command) == key


def test_map() -> None:
    """Ranges, gaps and corrections."""
    found = read_slots(
        [[0, 5460, [b"10.0.0.1", 1, b"id"], [b"10.0.0.9", 9, b"id"]], [5461, 16000, [b"", 2, b"id"]]], "seed"
    )
    assert [found.owner(slot) for slot in (0, 5460, 5461, 16000, 16001, SLOTS - 1)] == [
        ("10.0.0.1", 1),
        ("10.0.0.1", 1),
        ("seed", 2),
        ("seed", 2),
        None,
        None,
    ]
    assert found.covered == 16001
    found.moved(16001, ("new", 3))
    assert found.owner(16001) == ("new", 3)
    assert found.masters == {("10.0.0.1", 1), ("seed", 2), ("new", 3)}
    assert SlotMap().owner(0) is None
    assert not SlotMap()


def test_a_key_for_each_node() -> None:
    """For every node there is a key that it holds, or none is found in bounded time."""
    ranges = [(start, start + 1023, (f"n{start}", 1)) for start in range(0, SLOTS, 1024)]
    found = SlotMap(ranges)
    for _, _, address in ranges:
        key = found.key_at(address, "gw:probe")
        assert key is not None
        assert found.owner(key_slot(key)) == address
    assert found.key_at(("unknown", 1), "gw:probe") is None
