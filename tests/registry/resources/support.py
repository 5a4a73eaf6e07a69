"""Resources of a database that is held against a small configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.registry.compiling import Context
from gateway.registry.interpolation import Interpolated, interpolate
from gateway.registry.resources.judging import Judge
from gateway.registry.resources.operations import Create
from gateway.registry.resources.records import Author, Change, Kind, Resource
from gateway.registry.resources.repository import Resources, Rules
from gateway.registry.resources.vetting import Bounds

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.storage.sql.database import Database

FILE: dict[str, Any] = {
    "version": 1,
    "providers": {"mock": {"type": "mock", "models": ["mock-small"]}},
    "routes": [
        {"name": "small", "match": {"model": "small"}, "targets": [{"provider": "mock", "model": "mock-small"}]}
    ],
    "teams": [{"name": "research"}],
}
ALICE = Author("alice", "user", "admin", "192.0.2.7", "req-1")
SECRET = "sk-live-0123456789abcdefghij"


def seal(plain: str, *, context: str) -> str:
    """Sealed for tests: bound to its context, and not to be found in plain."""
    return f"{context}#{plain[::-1]}"


def unseal(token: str, *, context: str) -> str:
    """Raises ValueError for another context."""
    bound, _, reversed_plain = token.partition("#")
    if bound != context:
        raise ValueError("it belongs elsewhere")
    return reversed_plain[::-1]


def vet(reference: str) -> None:
    if not reference.startswith("env:GATEWAY_CREDENTIAL_"):
        raise ValueError("this may not be read")


class Office:
    """Resources, and what was recorded of their changes. `document` is the file as it is now."""

    def __init__(self, database: Database) -> None:
        self.document = FILE
        self.env: dict[str, str] = {}
        self.recorded: list[tuple[int, str, str]] = []
        self.fail: Exception | None = None
        self.resources = Resources(
            database,
            Rules(Judge(self.base, Context()), Bounds(vet)),
            seal=seal,
            record=self._record,
            wall=lambda: 1_800_000_000.5,
        )

    def base(self) -> Interpolated:
        return interpolate(self.document, self.env)

    async def _record(self, connection: AsyncConnection, revision: int, author: Author, change: Change) -> None:
        del connection, author
        if self.fail is not None:
            raise self.fail
        self.recorded.append((revision, change.action, f"{change.kind}/{change.resource.name}"))

    async def make(self, kind: Kind, name: str, settings: dict[str, Any] | None = None, **more: Any) -> Resource:
        """One new resource."""
        made = await self.resources.change(ALICE, [Create(kind, name, settings or {}, **more)])
        return made.the(kind)

    async def provider(self, name: str = "acme", **settings: Any) -> Resource:
        """A provider that needs no credential."""
        given = {"type": "openai_compatible", "base_url": "https://acme.example/v1", **settings}
        return await self.make(Kind.PROVIDER, name, given)

    async def model(self, provider: Resource, name: str, **settings: Any) -> Resource:
        return await self.make(Kind.MODEL, name, settings, provider=provider.id)

    async def rule(self, name: str, provider: str, model: str, **settings: Any) -> Resource:
        """A rule for requests of a model that is called like it."""
        given = {"match": {"model": name}, "targets": [{"provider": provider, "model": model}], **settings}
        return await self.make(Kind.RULE, name, given)
