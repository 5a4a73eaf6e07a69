"""Which engine moves a provider's bytes: the one it names, or its own code where it is in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.ports import Dialect, Engine, LocalDialect
from gateway.types import Provider
from gateway.upstream.engines.local import LocalEngine

EngineOf = Callable[[str], Engine]


def engine_choice(engine_of: EngineOf, dialects: Mapping[str, Dialect]) -> Callable[[Provider], Engine]:
    """The engine of each provider; `engine_of` gives them by name."""
    local: dict[str, LocalDialect] = {}
    for name, dialect in dialects.items():
        one: object = dialect
        if isinstance(one, LocalDialect):
            local[name] = one

    def choose(provider: Provider) -> Engine:
        kind = provider.type
        if kind in local:
            return LocalEngine(local[kind], provider)
        return engine_of("mock" if kind == "mock" else provider.engine)

    return choose
