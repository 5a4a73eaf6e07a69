"""A gateway of real processes with a provider of its own, and what both wrote down afterwards."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import psycopg
import redis

from gateway.limits.limitset import Names
from gateway.storage.guard import default_guard
from tests.support.gateway import GatewayProcess, eventually, get

from .books import BillRow, BookRow

_LISTENS = re.compile(r"(http://\S+)/v1")
_COLUMNS = ", ".join(BookRow.__struct_fields__)


@dataclass(frozen=True, slots=True)
class Provider:
    """A running `gateway mock`."""

    url: str
    """Ends in `/v1`."""
    pid: int

    def bill(self) -> list[BillRow]:
        """What it charged, one row for each request that has ended."""
        got = get(f"{self.url.removesuffix('/v1')}/mock/bill", timeout=30)
        rows: list[BillRow] = msgspec.json.decode(got.body, type=_Bill).rows
        return rows


class _Bill(msgspec.Struct):
    rows: list[BillRow]


@contextmanager
def provider(directory: Path) -> Iterator[Provider]:
    """`gateway mock` in a process of its own, until the block ends."""
    directory.mkdir(parents=True, exist_ok=True)
    out = directory / "mock.log"
    guard = default_guard()
    with out.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "mock", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=guard.preexec,  # noqa: PLW1509 - one prctl call, no Python lock
        )
    guard.watch(process.pid)
    try:
        found = eventually(lambda: _LISTENS.search(out.read_text()), "the provider's address", 30)
        yield Provider(f"{found[1]}/v1", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        guard.release()


@dataclass(slots=True)
class Rig:
    """A gateway and its provider; the store and the database behind it can be looked into and broken."""

    gateway: GatewayProcess
    provider: Provider
    store_url: str
    database_url: str | None = None

    @property
    def port(self) -> int:
        """The gateway's."""
        return int(self.gateway.base_url.rpartition(":")[2])

    @property
    def state(self) -> Path:
        """The gateway's data directory."""
        return self.gateway.directory / "state"

    # ---- processes

    def children(self, name: str) -> list[int]:
        """The gateway's children of this name: `worker` or `bookkeeper`."""
        pid = self.gateway.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in found if _comm(child) == name]

    def kill(self, pid: int) -> None:
        """kill -9, and return once it is gone."""
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: _comm(str(pid)) == "", f"the end of {pid}")

    # ---- the books

    def bill(self) -> dict[tuple[str, int], BillRow]:
        """The provider's rows by call and attempt. Raises AssertionError when it served an attempt twice."""
        rows: dict[tuple[str, int], BillRow] = {}
        for row in self.provider.bill():
            call, _, attempt = row.call_id.rpartition(".")
            assert (call, int(attempt)) not in rows, f"{row.call_id} was sent twice"
            rows[call, int(attempt)] = row
        return rows

    def ledger(self) -> dict[tuple[str, int], BookRow]:
        """The rows of the `usage` table by call and attempt."""
        try:
            found = self.query(f"SELECT {_COLUMNS} FROM usage")
        except sqlite3.OperationalError:
            found = []  # the bookkeeper has only just begun: there is no table yet
        rows = [BookRow(*row) for row in found]
        return {(row.call_id, row.attempt): row for row in rows}

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Ask the gateway's database."""
        if self.database_url is not None:
            with psycopg.connect(self.database_url, connect_timeout=5) as connection:
                return connection.execute(text.encode()).fetchall()
        file = self.state / "gateway.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as base:
            return base.execute(text).fetchall()

    def in_rollups(self) -> int:
        """How many attempts the rollup by hour has counted."""
        return int(self.query("SELECT coalesce(sum(attempts), 0) FROM usage_hour")[0][0])

    # ---- the store

    def store(self) -> redis.Redis:
        """A connection to the gateway's store."""
        return client_of(self.store_url)

    def left_in_store(self) -> dict[str, Any]:
        """What calls still hold: slots, open records, amounts reserved in this life of the store; empty when nothing is
        leaked."""
        left: dict[str, Any] = {}
        with closing(self.store()) as store:
            life = _text(store.hget(Names("0", "").mark, "name") or "none")
            for key in store.scan_iter("gw:*", count=1000):
                name, kind = _text(key), _text(store.type(key))
                if ":open:" in name:
                    left[name] = store.hkeys(key)
                elif kind == "zset" and not name.endswith(":workers"):
                    left[name] = store.zrange(key, 0, -1)
                elif kind == "hash" and life in name and (reserved := store.hget(key, "r")) not in (None, b"0"):
                    left[name] = reserved
        return left

    def quiet(self) -> list[str]:
        """What is not at rest yet, for `settled`."""
        return [f"{name} holds {what}" for name, what in self.left_in_store().items()]

    def in_flight(self) -> float:
        """Calls that run now, as the metric says."""
        return self.gateway.metric("gateway_in_flight_requests")


@contextmanager
def rig(
    config: str,
    directory: Path,
    *,
    workers: int = 2,
    store_url: str | None = None,
    database_url: str | None = None,
    env: Mapping[str, str] = {},
) -> Iterator[Rig]:
    """Both, running; `MOCK` in the configuration becomes the provider's address. Without a `store_url` the gateway has
    an embedded store, without a `database_url` SQLite."""
    # Shedding goes by how late the loop is, and here others use the processors too: it is tested elsewhere.
    given = {"GATEWAY_LOG_LEVEL": "warning", "GATEWAY_MAX_LOOP_LAG": "0", **env}
    if store_url is not None:
        given["REDIS_URL"] = store_url
    if database_url is not None:
        given["DATABASE_URL"] = database_url
    with provider(directory / "mock") as mock:
        gateway = GatewayProcess(config.replace("MOCK", mock.url), directory / "gateway", workers=workers, env=given)
        with gateway:
            socket_path = gateway.directory / "state" / "redis" / "server.sock"
            made = Rig(gateway, mock, store_url or embedded_url(socket_path), database_url)
            yield made


def embedded_url(path: Path) -> str:
    """The embedded store's address; its socket may stand in a shorter place."""
    from gateway.storage.embedded import running_url  # noqa: PLC0415 - only where it is asked for

    found = running_url(path.parent.parent)
    assert found is not None
    return found


def client_of(url: str) -> redis.Redis:
    """A blocking client."""
    if url.startswith("unix://"):
        return redis.Redis(unix_socket_path=unquote(url.removeprefix("unix://")), socket_timeout=10)
    return redis.Redis.from_url(url, socket_timeout=10)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _comm(pid: str) -> str:
    """The process's name; empty once it has ended."""
    try:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
            return ""
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def settled(differences: Callable[[], list[str]], seconds: float) -> float:
    """Wait until there are no differences; how long that took. Raises AssertionError with those that stay."""
    started = time.monotonic()
    while found := differences():
        waited = time.monotonic() - started
        assert waited < seconds, f"after {waited:.0f} s, {len(found)} differences: " + "\n".join(found[:20])
        time.sleep(0.2)
    return time.monotonic() - started
