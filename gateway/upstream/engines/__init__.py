"""HTTP clients behind one Protocol, chosen by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ports import Engine

ENGINES = {
    "httptools": "gateway.upstream.engines.httptools_engine:HttptoolsEngine",
    "clients": "gateway.upstream.engines.httptools_engine:engine_for_clients",
    "mock": "gateway.upstream.engines.mock:MockEngine",
    "httpx2": "gateway.upstream.engines.httpx2_engine:Httpx2Engine",
}
"""Name → `module:factory`. A module is imported when its engine is first asked for."""


def create_engine(name: str) -> Engine:
    """A new engine with its own pool. Raises LookupError for a name that is not in `ENGINES`."""
    try:
        module, _, attribute = ENGINES[name].partition(":")
    except KeyError:
        raise LookupError(f"unknown engine {name!r}; known are: {', '.join(sorted(ENGINES))}") from None
    factory = cast("Callable[[], Engine]", getattr(import_module(module), attribute))
    return factory()
