"""The compiled table: a checked document kept where all workers find it, so that one parses and the rest compile.

It is stored before interpolation, so no secret of the environment is in it; a document that holds literal secrets is
never stored. Its seal is keyed with the file and the environment, which the store does not know: whoever can write to
the store cannot make a worker use a table that this file does not say.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from gateway import __version__
from gateway.registry.check_secrets import secret_places
from gateway.registry.compiling import SCHEMA_VERSION, Context, compile_document
from gateway.registry.interpolation import interpolate, variables
from gateway.registry.loader import Loaded, build, context_for, load, parse
from gateway.registry.source import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.registry.catalogue import Known
    from gateway.registry.compile_providers import Defaults

PREFIX = "gw:table:"
TTL = 24 * 3600
"""Seconds."""
_SEAL = hashlib.sha256().digest_size
# The address of a webhook is a credential as a rule: its path or its query holds the token.
_OPEN_WEBHOOK = re.compile(r"(?:https?://[^/?$]+)?/?(?:\$\{[A-Za-z_][A-Za-z0-9_]*(?::-)?\})?")
_SCHEMES = frozenset({"", "bearer", "basic", "token"})


class TableStore(Protocol):
    """Where tables are kept. An implementation reports trouble as None, or not at all: a table is never essential."""

    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, ttl: int) -> None: ...


async def load_cached(
    path: Path | None,
    env: Mapping[str, str],
    store: TableStore,
    *,
    dialects: Known | None = None,
    defaults: Defaults | None = None,
) -> Loaded:
    """As `load`; a table that another worker stored for the same file and environment saves parsing and checking.

    Parses in a thread. Raises ConfigError. A corrupt or foreign table is ignored and replaced.
    """
    if path is None:
        return load(path, env, dialects=dialects, defaults=defaults)
    content = await asyncio.to_thread(read_bytes, path)
    context = context_for(dialects, defaults)
    identity = _identity(path, content, env, context)
    key = table_key(identity)
    stored = await store.get(key)
    loaded = None if stored is None else open_table(stored, identity, env, context)
    if loaded is not None:
        return loaded
    loaded = await asyncio.to_thread(_parsed, path, content, env, context)
    if not holds_secrets(loaded.document, dialects):
        await store.set(key, seal_table(loaded.document, identity), TTL)
    return loaded


def _parsed(path: Path, content: bytes, env: Mapping[str, str], context: Context) -> Loaded:
    return build(parse(path, content), env, context)


def table_key(identity: bytes) -> str:
    """The store's key for one file, environment and version."""
    return PREFIX + hashlib.sha256(b"key" + identity).hexdigest()[:32]


def seal_table(document: Mapping[str, Any], identity: bytes) -> bytes:
    """The document as bytes, with its seal in front."""
    payload = json.dumps(document, separators=(",", ":")).encode()
    return _seal(payload, identity) + payload


def open_table(stored: bytes, identity: bytes, env: Mapping[str, str], context: Context) -> Loaded | None:
    """Compile a stored table; None when its seal does not fit."""
    seal, payload = stored[:_SEAL], stored[_SEAL:]
    if not hmac.compare_digest(seal, _seal(payload, identity)):
        return None
    document = json.loads(payload)
    return Loaded(document, compile_document(interpolate(document, env), context))


def holds_secrets(document: Mapping[str, Any], dialects: Known | None = None) -> bool:
    """Some credential stands in the document itself instead of a `${VAR}`."""
    webhook = document.get("alerts", {}).get("webhook", "")
    if any(_is_literal(value) for _, value in secret_places(document, dialects)):
        return True
    return _OPEN_WEBHOOK.fullmatch(webhook) is None and _is_literal(webhook)


def _identity(path: Path, content: bytes, env: Mapping[str, str], context: Context) -> bytes:
    """Everything that a table depends on. Holds secrets: hashed before it leaves the process."""
    names = sorted(variables(content))
    known = None if context.dialects is None else sorted(context.dialects)
    parts = [__version__, SCHEMA_VERSION, path.suffix.lower(), known, [[name, env.get(name)] for name in names]]
    return hashlib.sha256(json.dumps(parts).encode() + b"\0" + content).digest()


def _seal(payload: bytes, identity: bytes) -> bytes:
    return hmac.new(identity, payload, hashlib.sha256).digest()


def _is_literal(value: Any) -> bool:
    if isinstance(value, list):
        return any(_is_literal(item) for item in value)
    if not isinstance(value, str):
        return value is not None
    rest, _, tail = value.partition("${")
    reference, closed, after = tail.partition("}")
    default = reference.partition(":-")[2]
    if not reference or not closed or default or rest.endswith("$"):
        return True
    return rest.strip().lower() not in _SCHEMES or bool(after)
