"""A gateway whose provider can do everything wrong, and what it left behind: rows, tasks, sockets, reservations."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from gateway.types import LedgerRow
from gateway.usage.events import decode_entry
from tests.support.app import Gateway, Reply, running, store_url, unique, until
from tests.support.rig import closed_port
from tests.support.tls import Authority
from tests.support.upstream import ScriptedUpstream

INPUT_PRICE = 1000
"""Nano-USD per token."""
CONFIG = """
version: 1
providers:
  near: {{type: openai_compatible, base_url: "{near}/v1", {quick}, retry_attempts: 0, {models}}}
  again: {{type: openai_compatible, base_url: "{near}/v1", {quick}, retry_attempts: 2, retry_delay: 0.01, {models}}}
  drained:
    type: openai_compatible
    base_url: "{near}/v1"
    timeout: {{connect: 1, first_byte: 10, idle: 10}}
    on_disconnect: {{at_once: 1, seconds: 1}}
    {models}
  spare: {{type: openai_compatible, base_url: "{spare}/v1", {quick}, retry_attempts: 0, {models}}}
  refused: {{type: openai_compatible, base_url: "http://127.0.0.1:{closed}/v1", {quick}, retry_attempts: 0, {models}}}
  nameless: {{type: openai_compatible, base_url: "http://nowhere.invalid/v1", retry_attempts: 0, {models},
    timeout: {{connect: 20}}}}
  silent: {{type: openai_compatible, base_url: "https://127.0.0.1:{silent}/v1", {quick}, retry_attempts: 0, {models}}}
  untrusted: {{type: openai_compatible, base_url: "{tls}/v1", {quick}, retry_attempts: 0, {models}}}
routes:
{routes}
keys:
  - {{name: {key}, secret: {secret}, limits: {{concurrency: 50, tokens: 10M/min}}}}
"""
FIRSTS = ("near", "refused", "nameless", "silent", "untrusted")


@dataclass(slots=True)
class Rig:
    """The gateway between a client and its upstreams."""

    gateway: Gateway
    near: ScriptedUpstream
    spare: ScriptedUpstream
    key: str
    secret: str
    store: redis.Redis

    def chat(self, model: str, *, stream: bool = False, **fields: Any) -> Reply:
        """One chat completion of the key."""
        headers = [("authorization", f"Bearer {self.secret}"), *fields.pop("headers", ())]
        return self.gateway.chat(model, headers, stream=stream, **fields)

    def fresh(self) -> Rig:
        """As if nothing had happened."""
        self.settled()
        self.gateway.worker.board.forget()
        for upstream in (self.near, self.spare):
            upstream._scripts.clear()
            upstream.received.clear()
        return self

    def rows(self, reply: Reply, count: int) -> list[LedgerRow]:
        """The ledger's rows of this call, by attempt; waits for them."""
        request_id = reply.header("x-request-id")
        found: list[LedgerRow] = []

        def there() -> bool:
            entries: Any = self.store.xrevrange("gw:{0}:usage", count=200)
            found[:] = [
                row for _, fields in entries for row in decode_entry(fields[b"e"])[0] if row.request_id == request_id
            ]
            return len(found) >= count

        until(there, f"{count} ledger rows of {request_id}: {found}")
        assert len(found) == count, found
        return sorted(found, key=lambda row: row.attempt)

    def out_for(self, deployment: str) -> str:
        """Why a deployment is out of rotation."""
        return str(self.gateway.worker.board._records[deployment].out_for)

    def outcome(self, deployment: str, outcome: str) -> float:
        """The count of attempts that ended so."""
        provider = deployment.partition("/")[0]
        return self.gateway.metric(
            f'gateway_upstream_attempts_total{{provider="{provider}",deployment="{deployment}",outcome="{outcome}"}}'
        )

    def settled(self) -> None:
        """Nothing hangs: no call, no reservation, no attempt, no busy connection, no task of a call."""
        until(self.gateway.idle, "the end of every call")
        until(lambda: not self.gateway.gate.live, "the end of every reservation")
        until(lambda: self.busy() == [], "the end of everything else")

    def busy(self) -> list[str]:
        """What is still under way."""
        worker = self.gateway.worker
        found = [name for name, record in worker.board._records.items() if record.in_flight or record.on_trial]
        engine: Any = worker._engines("httptools")
        found += [repr(pool) for pool in tuple(engine._pools.values()) if pool.busy or pool._opening or pool.waiting]
        loop = worker._tasks[0].get_loop()
        tasks = [task.get_coro() for task in asyncio.all_tasks(loop)]
        names = [getattr(found, "__qualname__", "") for found in tasks]
        return found + [name for name in names if "OpenAIApi" in name or "run_asgi" in name or "drain" in name]


@contextmanager
def rigged(directory: Path, extra: str = "", **settings: Any) -> Iterator[Rig]:
    """A gateway before two upstreams, and before addresses where there is none."""
    authority = Authority(directory, unique("authority"))
    with ExitStack() as stack:
        near, spare = stack.enter_context(ScriptedUpstream()), stack.enter_context(ScriptedUpstream())
        tls = stack.enter_context(ScriptedUpstream(tls=authority.server_context("127.0.0.1")))
        silent = stack.enter_context(socket.socket())
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)  # accepts, and never says a word of TLS
        key, secret = unique("failing"), unique("failures-secret-0123456789abcdef")
        routes = "".join(
            f"  - {{name: {first}-first, match: {{model: {first}-first}}, "
            f"targets: [{{provider: {first}, model: m}}, {{provider: spare, model: m}}]}}\n"
            for first in FIRSTS
        )
        config = CONFIG.format(
            near=near.base_url,
            spare=spare.base_url,
            tls=tls.base_url,
            closed=closed_port(),
            silent=silent.getsockname()[1],
            quick="timeout: {connect: 0.25, first_byte: 0.4, idle: 0.25}",
            models="models: {m: {price: {input: 1, output: 2}}}",
            routes=routes,
            key=key,
            secret=secret,
        )
        with running(config + extra, **settings) as gateway:
            url = store_url()
            store = stack.enter_context(redis.Redis(unix_socket_path=url.removeprefix("unix://")))
            yield Rig(gateway, near, spare, key, secret, store)
            assert not near.errors
            assert not spare.errors
