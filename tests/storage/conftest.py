"""A real server for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.storage.client import OnCall
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.node import NodeClient
from gateway.storage.redis import RedisOptions, connect
from tests.support.store import own_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PATIENT = RedisOptions(timeout=10.0, connect_timeout=10.0)
"""For commands whose speed is not what a test is about."""

ECHO = b"""
local tables, groups, items = unpack(cmsgpack.unpack(ARGV[1]))
for n = 1, #groups do groups[n][2] = tables[groups[n][2]] end
local time = redis.call('TIME')
local out = {time[1] * 1000000 + time[2]}
for i, item in ipairs(items) do
  local group = groups[item[1]]
  local keys = {}
  for j, index in ipairs(group[1]) do keys[j] = KEYS[index] end
  out[i + 1] = {item[2], keys, redis.call('INCR', KEYS[1]), group[2], #groups}
end
return cmsgpack.pack(out)
"""
"""Answers every item with its own arguments, keys and table, and counts in the batch's first key."""


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    """A server of this test's own, to be stopped, paused and killed."""
    with own_store() as server:
        yield server


@pytest.fixture
async def make_client(server: EmbeddedRedis) -> AsyncIterator[Callable[..., NodeClient]]:
    """Clients of that server; closed at the end."""
    made: list[NodeClient] = []

    def make(options: RedisOptions = PATIENT, on_call: OnCall | None = None) -> NodeClient:
        client = connect(server.url, options, on_call)
        assert isinstance(client, NodeClient)
        made.append(client)
        return client

    yield make
    for client in made:
        await client.close()
