"""What dialects of other packages may say beside speaking: their settings, and that they answer by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from gateway.types import Headers, Provider


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a provider type of its own; a dialect's `settings` lists them. It is text in the configuration, and
    stands in `Provider.options` when it is set."""

    name: str
    description: str
    secret: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class LocalRequest:
    """What would have gone to a server: as the dialect's `head` and `body` made it."""

    provider: Provider
    """As it is configured: its keys, its `options`."""
    target: str
    """Path and query."""
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class LocalAnswer:
    """What a server would have answered. A body that comes in pieces is closed (`aclose`) when nobody reads on."""

    body: bytes | AsyncIterator[bytes] = field(repr=False)
    content_type: str = "application/json"
    status: int = 200
    headers: Headers = ()
    """Others than the content type, with lower-case names."""


@runtime_checkable
class LocalDialect(Protocol):
    """A dialect whose providers are code in this process: another framework, or a model in memory. Everything of the
    gateway (limits, routing, failover, deadlines, the ledger) is around it as around a server."""

    async def answer(self, request: LocalRequest) -> LocalAnswer:
        """Answer one request. Runs on the worker's event loop: what blocks belongs in a thread. Cancelled when the time
        is up or the client has left. What it raises is a failure of the provider: an UpstreamError as it is, anything
        else as 502 `upstream_error`."""
        ...
