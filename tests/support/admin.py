"""The admin API as its callers meet it, without a socket."""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from gateway.audit.log import AuditLog
from gateway.auth.keyring import Keyring
from gateway.http.admin.app import create_admin
from gateway.http.admin.authentication import Authenticator, Entry
from gateway.http.admin.services import Services
from gateway.providers import discover
from gateway.registry.compiling import Context
from gateway.registry.interpolation import interpolate
from gateway.registry.loader import Loaded, load
from gateway.registry.resources.fragment import fragment_of
from gateway.registry.resources.intake import Intake
from gateway.registry.resources.joining import Joined, join
from gateway.registry.resources.judging import Judge, Picture
from gateway.registry.resources.propagation import Propagation
from gateway.registry.resources.repository import Resources, Rules
from gateway.registry.resources.shelf import Shelf
from gateway.registry.resources.status import RegistryStatus
from gateway.registry.resources.unlocking import Opener, stand_ins
from gateway.registry.resources.vetting import Bounds
from gateway.registry.snapshot import Snapshot
from gateway.settings import Settings
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.sql.database import Database
from gateway.upstream.asking import Asker
from gateway.upstream.checkup import Examiner
from gateway.upstream.engines import ENGINES, create_engine
from gateway.upstream.lookups import resolve
from gateway.vault import CredentialDamaged, Header, Vault

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
ENV = {"FILED_KEY": "f" * 40}
PREFIX = "http://admin.test/api/admin"


def seal(plain: str, *, context: str) -> str:
    """Sealed for tests: not to be found in plain."""
    return f"{context}#{plain[::-1]}"


def unseal(token: str, context: str) -> str:
    """The plain text again."""
    bound, _, turned = token.partition("#")
    if bound != context:
        raise CredentialDamaged
    return turned[::-1]


async def resolver(host: str, port: int) -> Sequence[str]:
    """Names of tests that lead to places where tests look; the rest by the system."""
    return ["169.254.169.254"] if host == "metadata.test" else await resolve(host, port)


def vet(reference: str) -> None:
    """What references may be read."""
    if not reference.startswith("env:GATEWAY_CREDENTIAL_"):
        raise ValueError("this may not be read")


@dataclass
class AdminApi:
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
async def opened_api(
    url: str, store: str, directory: Path, config: str = CONFIG, *, vault: Vault | None = None, **environment: Any
) -> AsyncIterator[AdminApi]:
    """The API over this database and this store."""
    path = directory / "gateway.yaml"
    path.write_text(config)
    dialects = discover()
    redis = connect(store, RedisOptions(timeout=10.0, connect_timeout=10.0))
    await redis.execute("FLUSHALL")
    database = Database(url)
    keyring = Keyring(redis)
    await keyring.replace({}, 0)  # as the bookkeeper does first of all
    settings = Settings(data_dir=directory, redis_url=store, **environment)
    loaded = load(path, ENV, dialects=dialects)
    context = Context(dialects, networks=settings.private_networks)
    base = interpolate(loaded.document, ENV)
    joined = [Joined(loaded.snapshot)]
    bounds = Bounds(vet, settings.private_networks, dialects=dialects)
    resources = Resources(database, Rules(Judge(lambda: base, context), bounds), seal=seal)
    engine_of = lru_cache(create_engine)
    opener = Opener(unseal, lambda _setting, _reference: "sk-of-the-environment")
    read = opener.read
    resources.on_commit(lambda state: joined.append(join(base, fragment_of(state), stand_ins, context, read)))

    async def opened() -> Snapshot:
        return join(base, fragment_of(await resources.state()), opener, context, read).snapshot

    services = Services(
        settings,
        dialects,
        database,
        Authenticator(Entry(ADMIN_KEY, rate=0), database, AuditLog()),
        lambda: joined[-1].snapshot,
        keyring.apply,
        resources,
        _registry(settings, loaded, context, resources, redis),
        vault or Vault([]),
        unseal,
        Examiner(Asker(engine_of, dialects), dialects, resolver),
        opened,
        lambda: loaded.document,
        lambda: joined[-1].parked,
    )
    app = create_admin(services)
    transport = httpx2.ASGITransport(app=app)
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    try:
        async with httpx2.AsyncClient(transport=transport, headers=headers) as client:
            yield AdminApi(client, services, redis, app)
    finally:
        for name in ENGINES:
            await engine_of(name).close()
        await database.close()
        await redis.close()


def _registry(
    settings: Settings, loaded: Loaded, context: Context, resources: Resources, redis: RedisClient
) -> RegistryStatus:
    """Who knows whether workers follow; there are none."""
    shelf = Shelf(settings.data_dir)

    async def header() -> Header:
        return Header("", "")

    picture = Picture(lambda: loaded, Intake(shelf, settings, ENV, context))
    return RegistryStatus(resources, Propagation(resources, shelf, redis, header), picture, redis)


@contextmanager
def served_api(url: str, store: str, directory: Path, config: str = CONFIG) -> Iterator[str]:
    """The API on a socket, in a thread with a loop of its own; its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    servers: queue.Queue[uvicorn.Server] = queue.Queue()

    async def serve() -> None:
        async with opened_api(url, store, directory, config) as api:
            settings = uvicorn.Config(api.app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
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
