"""From a credential to a Principal: a digest and one look-up in the snapshot, no I/O."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase

from gateway.errors import InvalidApiKey, KeyExpired, ModelAccessDenied
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


def missing_credential() -> InvalidApiKey:
    """The refusal of a request without any key."""
    return InvalidApiKey(
        "You didn't provide an API key. "
        "Send a key of this gateway as `Authorization: Bearer`, `x-api-key` or `api-key`."
    )


def holder(snapshot: Snapshot, credential: bytes) -> Principal:
    """Who holds this credential, of the keys in the file. Raises InvalidApiKey, KeyExpired."""
    principal = snapshot.keys.get(hashlib.sha256(credential).digest())
    if principal is None:
        raise InvalidApiKey
    if principal.expires_at is not None and principal.expires_at <= time.time():
        raise KeyExpired
    return principal


def authorise(principal: Principal, model: str, service: str) -> None:
    """Raises ModelAccessDenied when the key's lists do not hold the model, as the client names it, or the service."""
    if not may_use(principal, model):
        raise ModelAccessDenied
    if principal.services is not None and service not in principal.services:
        raise ModelAccessDenied(f"This key may not be used for {service}.")


def may_use(principal: Principal, model: str) -> bool:
    """Whether the key's list, if it has one, holds this name."""
    return principal.models is None or any(fnmatchcase(model, pattern) for pattern in principal.models)
