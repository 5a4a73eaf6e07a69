"""The admin API as its callers meet it, without a socket."""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from gateway.audit.log import AuditLog
from gateway.auth.keyring import Keyring
from gateway.http.admin.app import create_admin
from gateway.http.admin.door import AccessDoor, Entry
from gateway.http.admin.services import Services
from gateway.ports import Dialect
from gateway.providers import discover
from gateway.registry.compiling import Context
from gateway.registry.interpolation import interpolate
from gateway.registry.loader import load
from gateway.registry.resources.desk import Resources, Rules
from gateway.registry.resources.intake import Intake
from gateway.registry.resources.judging import Judge, Picture
from gateway.registry.resources.propagation import Propagation
from gateway.registry.resources.reading import References
from gateway.registry.resources.shelf import Shelf
from gateway.registry.resources.status import RegistryStatus
from gateway.registry.resources.vetting import Bounds
from gateway.settings import Settings
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.sql.database import Database

ADMIN_KEY = "gwa-test-0123456789abcdef0123456789abcdef"
CONFIG = """
version: 1
providers:
  mock:
    type: mock
    models: {mock-small: {price: {input: 1, output: 2}}, mock-large: {}}
routes:
  - {name: everything, match: {model: "*"}, targets: [{provider: mock, model: mock-small}]}
keys:
  - name: filed
    secret: ${FILED_KEY}
    models: ["mock-*"]
    limits: {requests: {rate: 60/min, burst: 5}, concurrency: 3}
    quotas: [{period: month, cost: 2.5, soft: 0.8}]
"""
PREFIX = "http://admin.test/api/admin"


@dataclass
class Desk:
    """A client of the API, and what stands behind it."""

    client: httpx2.AsyncClient
    services: Services
    redis: RedisClient
    app: FastAPI

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        """One request with the admin key."""
        given = {} if body is None else {"json": body}
        return await self.client.request(method, PREFIX + path, **given, **more)


@asynccontextmanager
async def opened_desk(url: str, store: str, directory: Path, config: str = CONFIG) -> AsyncIterator[Desk]:
    """The API over this database and this store."""
    path = directory / "gateway.yaml"
    path.write_text(config)
    dialects = discover()
    snapshot = load(path, {"FILED_KEY": "f" * 40}, dialects=dialects).snapshot
    redis = connect(store, RedisOptions(timeout=10.0, connect_timeout=10.0))
    await redis.execute("FLUSHALL")
    database = Database(url)
    keyring = Keyring(redis)
    await keyring.replace({}, 0)  # as the bookkeeper does first of all
    settings = Settings(data_dir=directory, redis_url=store)
    resources, registry = _registry(settings, path, dialects, database, redis)
    door = AccessDoor(Entry(ADMIN_KEY, rate=0), database, AuditLog())
    services = Services(settings, dialects, database, door, lambda: snapshot, keyring.apply, resources, registry)
    app = create_admin(services)
    transport = httpx2.ASGITransport(app=app)
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    try:
        async with httpx2.AsyncClient(transport=transport, headers=headers) as client:
            yield Desk(client, services, redis, app)
    finally:
        await database.close()
        await redis.close()


def _registry(
    settings: Settings, path: Path, dialects: Mapping[str, Dialect], database: Database, redis: RedisClient
) -> tuple[Resources, RegistryStatus]:
    """What is managed at run time, with secrets that are sealed by a toy."""
    env = {"FILED_KEY": "f" * 40}
    loaded = load(path, env, dialects=dialects)
    context = Context(dialects)
    judge = Judge(lambda: interpolate(loaded.document, env), context)
    bounds = Bounds(References(env, (), None).vet, dialects=dialects)
    resources = Resources(database, Rules(judge, bounds), seal=lambda plain, *, context: f"{context}#{plain[::-1]}")
    shelf = Shelf(settings.data_dir)
    picture = Picture(lambda: loaded, Intake(shelf, settings, env, context))

    async def header() -> tuple[str, str]:
        return "", ""

    return resources, RegistryStatus(resources, Propagation(resources, shelf, redis, header), picture, redis)


@contextmanager
def served_desk(url: str, store: str, directory: Path, config: str = CONFIG) -> Iterator[str]:
    """The API on a socket, in a thread with a loop of its own; its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    servers: queue.Queue[uvicorn.Server] = queue.Queue()

    async def serve() -> None:
        async with opened_desk(url, store, directory, config) as desk:
            settings = uvicorn.Config(desk.app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
            server = uvicorn.Server(settings)
            servers.put(server)
            await server.serve(sockets=[listener])

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    server = servers.get(timeout=60)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/admin"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
