"""Configurations of the gateways under test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping


def secret(name: str) -> str:
    """The credential of the key with this name."""
    return f"gw-{name}-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def config(models: Mapping[str, str], keys: Mapping[str, str], *, more: Iterable[str] = ()) -> str:
    """One provider with these models (name: settings) and these keys (name: settings), in YAML's flow style."""
    lines = [
        "version: 1",
        "providers:",
        "  far:",
        "    type: openai_compatible",
        "    base_url: MOCK",
        "    api_key: none",
        "    retry_attempts: 0",
        "    models:",
        *(f'      "{name}": {{{settings}}}' for name, settings in models.items()),
        "keys:",
        *(f"  - {{name: {name}, secret: {secret(name)}, {settings}}}" for name, settings in keys.items()),
        *more,
    ]
    return "\n".join(lines) + "\n"
