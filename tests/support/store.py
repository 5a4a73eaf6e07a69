"""A Redis-compatible server for tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.storage.embedded import EmbeddedRedis


@contextmanager
def own_store() -> Iterator[EmbeddedRedis]:
    """A server of a test's own, to be flushed, paused and killed; in a directory whose path a socket's can hold."""
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        server = EmbeddedRedis(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop()
