"""From a credential to a Principal: a digest and one look-up in the snapshot, no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatchcase

from gateway.errors import InvalidApiKey, ModelAccessDenied
from gateway.registry.snapshot import Snapshot
from gateway.types import Principal

ANONYMOUS = Principal(key="anonymous")
"""The caller of open mode: no key is configured, loopback only."""


def credential_of(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The key of a request: `Authorization: Bearer`, else `x-api-key`, else `api-key`; None without one."""
    value = headers.get(b"authorization")
    if value is not None:
        if value.startswith(b"Bearer ") and (token := value[7:].strip()):
            return token
        scheme, _, token = value.partition(b" ")
        if scheme.lower() == b"bearer" and token.strip():
            return token.strip()
    return headers.get(b"x-api-key") or headers.get(b"api-key") or None


def authenticate(snapshot: Snapshot, credential: bytes | None, *, open_mode: bool) -> Principal:
    """Who holds this credential; in open mode everybody is anonymous. Raises InvalidApiKey."""
    if open_mode:
        return ANONYMOUS
    if credential is None:
        raise InvalidApiKey(
            "You didn't provide an API key. "
            "Send a key of this gateway as `Authorization: Bearer`, `x-api-key` or `api-key`."
        )
    principal = snapshot.keys.get(hashlib.sha256(credential).digest())
    if principal is None:
        raise InvalidApiKey
    return principal


def authorise(principal: Principal, model: str) -> None:
    """Raises ModelAccessDenied when the key's list does not hold the model as the client names it."""
    if not may_use(principal, model):
        raise ModelAccessDenied


def may_use(principal: Principal, model: str) -> bool:
    """Whether the key's list, if it has one, holds this name."""
    return principal.models is None or any(fnmatchcase(model, pattern) for pattern in principal.models)
