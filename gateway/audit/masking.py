"""What must not stand in the log is left out by its name, and by how it looks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

MASK = "***"
_DEEPEST = 32
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_SECRET_WORDS = frozenset(
    (
        *("secret", "secrets", "password", "passwd", "passphrase", "token", "authorization", "authentication"),
        *("cookie", "cookies", "apikey", "bearer", "digest", "signature", "credential", "jwt"),
    )
)
_SECRET_KEYS = frozenset(
    ("api", "access", "private", "admin", "encryption", "master", "secret", "shared", "signing", "client")
)
"""What a key is called that is one."""
_HARMLESS = frozenset(
    (
        *("id", "ids", "name", "names", "url", "uri", "endpoint", "type", "kind", "prefix", "role", "count"),
        *("limit", "method", "at", "until"),
    )
)
"""Last words of names that speak of a secret without holding it."""
_OPAQUE = frozenset({"headers", "extra_headers", "header_templates"})
"""Mappings whose every text may be a secret, whatever it is called."""
_SECRET_TEXT = re.compile(
    r"gwv1\.[0-9a-f]{16}\.[A-Za-z0-9_-]+"  # sealed
    r"|\bgw[ats]?-[A-Za-z0-9_-]{20,}"  # our keys and tokens
    r"|\bsk-[A-Za-z0-9_-]{16,}"
    r"|\bAKIA[A-Z0-9]{12,}"
    r"|\bAIza[A-Za-z0-9_-]{30,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
)


def masked(value: Any, depth: int = 0, *, opaque: bool = False) -> Any:
    """A copy in which every secret is `***`: whatever stands under a name of secrets, and every text that looks like
    one, wherever it is."""
    if depth > _DEEPEST or isinstance(value, bytes):
        return MASK
    if isinstance(value, Mapping):
        return {str(name): _under(str(name), inner, depth, opaque=opaque) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(inner, depth + 1, opaque=opaque) for inner in value]
    if isinstance(value, str):
        return MASK if opaque and value else _SECRET_TEXT.sub(MASK, value)
    return value


def _under(name: str, value: Any, depth: int, *, opaque: bool) -> Any:
    hidden = opaque or name.lower().replace("-", "_") in _OPAQUE or is_secret(name)
    return masked(value, depth + 1, opaque=hidden)


def is_secret(name: str) -> bool:
    """Whether what stands under this name is a secret; amounts and switches under such a name are none."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _HARMLESS:
        return False
    keys = any(word == "key" and before in _SECRET_KEYS for before, word in pairwise(words))
    return keys or not _SECRET_WORDS.isdisjoint(words)
