"""One file per API: how its provider hears requests and words answers, written without the product's code.

A dialect is tested by existing. `native_of` takes the file of its type's name, or OpenAI's for dialects that pass its
API through and have none; a dialect that translates needs a file with one object `NATIVE` that satisfies `Native`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any, Protocol

from gateway.ports import Dialect, RequestHead
from gateway.providers.wire.openai import OpenAIDialect
from tests.providers.contract.cases import ANSWERS
from tests.providers.contract.said import Heard, Said


class Native(Protocol):
    """One provider's API, played by hand."""

    options: Mapping[str, Any]
    """The provider's own settings in the configuration."""
    base_url: str
    model: str
    """A model that can do the most."""
    refuses: Mapping[str, str]
    """Cases of requests that this API cannot say, and the `param` of the refusal."""
    silent: frozenset[str]
    """Cases of answers that this API never gives."""

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        """What a request says."""
        ...

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        """Content type and body of a whole answer."""
        ...

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        """Content type and events of a streamed one."""
        ...

    def refusal(self, status: int, message: str) -> bytes:
        """The body of an error."""
        ...

    def broken(self) -> bytes:
        """The event by which a stream says that it failed: the provider is overloaded."""
        ...


def answering(dialects: Mapping[str, Dialect]) -> list[tuple[str, str]]:
    """Each of these with each case of an answer that its API gives."""
    return [
        (name, case) for name in sorted(dialects) for case in ANSWERS if case not in native_of(dialects[name]).silent
    ]


def native_of(dialect: Dialect) -> Native:
    """The native of a dialect's API. Raises ModuleNotFoundError for a dialect that translates and has none."""
    name = dialect.name
    if isinstance(dialect, OpenAIDialect) and importlib.util.find_spec(f"{__name__}.{name}") is None:
        name = "openai"
    native: Native = importlib.import_module(f"{__name__}.{name}").NATIVE
    return native
