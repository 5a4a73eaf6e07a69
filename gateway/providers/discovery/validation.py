"""Whether an object is a dialect at all: its words and its methods, without calling any of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from gateway.ports import Setting
from gateway.types import Service

_NAME = re.compile(r"[a-z][a-z0-9_\-]{0,40}")
_METHODS = {"head": 3, "body": 2, "decode": 4, "stream": 2, "error": 3}
"""Each with how many arguments it is called."""
_OPTIONAL = {
    "token_request": 2,
    "read_token": 3,
    "sign": 4,
    "most_inputs": 1,
    "models_head": 2,
    "decode_models": 1,
    "answer": 1,
}
_TOGETHER = (("token_request", "read_token"), ("models_head", "decode_models"))


def faults_of(dialect: Any) -> list[str]:
    """What is missing or of the wrong kind, as half sentences; empty for what can be used."""
    if isinstance(dialect, type):
        return [f"it is the class {dialect.__name__}, not an instance of it"]
    return [*_words(dialect), *_methods(dialect), *_settings(dialect)]


def _words(dialect: Any) -> Iterator[str]:
    name = getattr(dialect, "name", None)
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        yield "`name` must be the provider type, one lower-case word"
    services = getattr(dialect, "services", None)
    if not isinstance(services, frozenset) or not services or not all(isinstance(item, Service) for item in services):
        yield "`services` must be a frozenset of gateway.types.Service with at least one member"
    stream_type = getattr(dialect, "stream_type", None)
    types = stream_type if isinstance(stream_type, tuple) else (stream_type,)
    if not types or not all(isinstance(item, bytes) and item for item in types):
        yield '`stream_type` must be a media type as bytes, such as b"text/event-stream", or a tuple of them'


def _methods(dialect: Any) -> Iterator[str]:
    for name, count in _METHODS.items():
        method = getattr(dialect, name, None)
        if not callable(method):
            yield f"the method `{name}` is missing"
        elif not _takes(method, count):
            yield f"`{name}` must take {count} arguments"
    for name, count in _OPTIONAL.items():
        method = getattr(dialect, name, None)
        if method is not None and not (callable(method) and _takes(method, count)):
            yield f"`{name}` must be a method that takes {count} argument{'s' if count > 1 else ''}"
    for pair in _TOGETHER:
        lacking = [name for name in pair if getattr(dialect, name, None) is None]
        if len(lacking) == 1:
            yield f"it has one of `{pair[0]}` and `{pair[1]}` but not `{lacking[0]}`"
    answer = getattr(dialect, "answer", None)
    if answer is not None and not inspect.iscoroutinefunction(answer):
        yield "`answer` must be a coroutine (`async def`)"


def _takes(method: Any, count: int) -> bool:
    try:
        inspect.signature(method).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True  # of a kind that tells no signature
    return True


def _settings(dialect: Any) -> Iterator[str]:
    address = getattr(dialect, "base_url", None)
    if address is not None and not (isinstance(address, str) and address.startswith(("https://", "http://"))):
        yield "`base_url` must be an http(s) URL, or None"
    settings = getattr(dialect, "settings", ())
    if not isinstance(settings, tuple) or not all(isinstance(item, Setting) for item in settings):
        yield "`settings` must be a tuple of gateway.ports.Setting"
