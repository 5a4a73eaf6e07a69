"""The control plane from outside: another administrator over the same database, and what workers say of themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from gateway.administering import recorder
from gateway.audit.opening import open_audit
from gateway.providers import discover
from gateway.registry.compiling import Context
from gateway.registry.interpolation import interpolate
from gateway.registry.loader import load
from gateway.registry.resources.heartbeats import Beat, everybody
from gateway.registry.resources.judging import Judge
from gateway.registry.resources.operations import Create, Operation
from gateway.registry.resources.propagation import CHANNEL
from gateway.registry.resources.reading import References
from gateway.registry.resources.records import Author, Kind, Resource
from gateway.registry.resources.repository import Committed, Resources, Rules
from gateway.registry.resources.vetting import Bounds
from gateway.settings import Settings
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.sql.database import Database
from gateway.storage.sql.urls import database_url
from gateway.vault.custody import open_custody

KEY = "an encryption key for tests only"
AUTHOR = Author("tests", "system")
PATIENCE = 30.0


@dataclass
class Control:
    """Changes resources, and waits until workers serve them."""

    resources: Resources
    redis: RedisClient
    database: Database

    async def change(self, *operations: Operation, say: bool = True) -> Committed:
        """One change; `say`: tell the replicas, as an administrator does."""
        committed = await self.resources.change(AUTHOR, operations)
        if say:
            await self.redis.execute("PUBLISH", CHANNEL, b"changed")
        return committed

    async def make(self, kind: Kind, name: str, settings: Mapping[str, Any], **more: Any) -> Resource:
        """One new resource."""
        return (await self.change(Create(kind, name, settings, **more))).the(kind)

    async def provider(self, name: str, url: str, *models: str, secret: str = "") -> Resource:
        """A provider with models of these names and, if given, a credential."""
        settings = {"type": "openai_compatible", "base_url": url}
        operations: list[Operation] = [Create(Kind.PROVIDER, name, settings, id=f"id-{name}")]
        operations += [Create(Kind.MODEL, model, provider=f"id-{name}") for model in models]
        if secret:
            operations.append(Create(Kind.CREDENTIAL, "main", provider=f"id-{name}", secret={"api_key": secret}))
        return (await self.change(*operations)).the(Kind.PROVIDER)

    async def served(self, revision: int, workers: int, seconds: float = PATIENCE) -> float:
        """The seconds until so many workers serve this revision. Raises AssertionError."""
        started = time.monotonic()
        while True:
            beats = [beat for beat in await self.beats() if beat.resources >= revision]
            if len(beats) >= workers and len({beat.revision for beat in beats}) == 1:
                return time.monotonic() - started
            assert time.monotonic() - started < seconds, f"not served in time: {await self.beats()}"
            await asyncio.sleep(0.02)

    async def beats(self) -> list[Beat]:
        """What every worker says of itself."""
        return await everybody(self.redis)


@asynccontextmanager
async def control(config: Path, env: Mapping[str, str]) -> AsyncIterator[Control]:
    """An administrator of gateways with this file and environment (DATABASE_URL, REDIS_URL, ENCRYPTION_KEY, …). The
    database has to be migrated."""
    settings = _settings(env)
    database = Database(database_url(settings))
    redis = connect(env["REDIS_URL"], RedisOptions(timeout=10.0, connect_timeout=10.0))
    custody = await open_custody(database, settings)
    dialects = discover()
    loaded = load(config, env, dialects=dialects)
    judge = Judge(lambda: interpolate(loaded.document, env), Context(dialects, networks=settings.private_networks))
    bounds = Bounds(References.of(settings, env).vet, settings.private_networks, dialects)
    record = recorder(await open_audit(database, custody.audit_key))
    try:
        yield Control(
            Resources(database, Rules(judge, bounds), seal=custody.vault.seal, record=record), redis, database
        )
    finally:
        await redis.close()
        await database.close()


def _settings(env: Mapping[str, str]) -> Settings:
    """As a gateway with this environment has them, as far as they matter here."""
    networks = env.get("GATEWAY_PRIVATE_NETWORKS", "")
    update: dict[str, Any] = {
        "private_networks": tuple(ip_network(part) for part in networks.split(",") if part),
        "encryption_key": SecretStr(env["ENCRYPTION_KEY"]),
        "database_url": SecretStr(env["DATABASE_URL"]),
    }
    return Settings().model_copy(update=update)
