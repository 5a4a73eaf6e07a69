"""A real server for the tests of this folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import RedisClient, RedisOptions, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PATIENT = RedisOptions(timeout=10.0)
"""For commands whose speed is not what a test is about."""

ECHO = b"""
local out = {}
for i, item in ipairs(cmsgpack.unpack(ARGV[1])) do
  local keys = {}
  for j, index in ipairs(item[1]) do keys[j] = KEYS[index] end
  out[i] = {item[2], keys, redis.call('INCR', 'gw:calls')}
end
return cmsgpack.pack(out)
"""
"""Answers every item with its own arguments and keys, and counts."""


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    """A server of this test's own, to be stopped, paused and killed."""
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        found = EmbeddedRedis(Path(directory))
        found.start()
        try:
            yield found
        finally:
            found.stop()


@pytest.fixture
async def make_client(server: EmbeddedRedis) -> AsyncIterator[Callable[..., RedisClient]]:
    """Clients of that server; closed at the end."""
    made: list[RedisClient] = []

    def make(options: RedisOptions = PATIENT) -> RedisClient:
        made.append(connect(server.url, options))
        return made[-1]

    yield make
    for client in made:
        await client.close()
