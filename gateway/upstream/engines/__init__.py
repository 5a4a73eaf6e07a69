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


class Engines:
    """The engines in use by name, each made when it is first asked for."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}

    def __call__(self, name: str) -> Engine:
        engine = self._engines.get(name)
        if engine is None:
            engine = self._engines[name] = create_engine(name)
        return engine

    async def close(self) -> None:
        """Close every pool."""
        for engine in self._engines.values():
            await engine.close()
