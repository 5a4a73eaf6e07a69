"""A key as the mirror holds it, and the Principal it stands for. No I/O."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from gateway.registry.compile_limits import compile_limits, compile_quotas
from gateway.types import Principal


class KeyRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker has to know of a key. Limits and quotas stand in the notation of the configuration file."""

    name: str
    team: str | None = None
    models: tuple[str, ...] | None = None
    services: tuple[str, ...] | None = None
    limits: dict[str, Any] = {}
    quotas: list[dict[str, Any]] = []
    expires_at: float | None = None
    """Unix seconds; of a secret that was rotated away, the end of its grace if that is earlier."""
    groups: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True):
    """What happened to the keys between two revisions of the database."""

    since: int
    revision: int
    live: dict[bytes, bytes]
    """Digest to encoded record, of every key that changed and can be used."""
    gone: list[bytes]
    """Digests of keys that were revoked."""


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(KeyRecord).decode


def digest_of(credential: bytes) -> bytes:
    """SHA-256: what is kept of a secret. It needs no salt, since the secrets are random."""
    return hashlib.sha256(credential).digest()


def principal_of(record: KeyRecord, digest: bytes, zone: str = "UTC") -> Principal:
    """Who holds this key; `zone` is that of quotas that name none. Raises ValueError, KeyError or TypeError for limits
    that this version cannot read."""
    return Principal(
        key=record.name,
        team=record.team,
        models=record.models,
        limits=compile_limits(record.limits, "key", record.name),
        quotas=compile_quotas(record.quotas, "key", record.name, zone, record.limits),
        services=None if record.services is None else frozenset(record.services),
        expires_at=record.expires_at,
        digest=digest,
        groups=frozenset(record.groups),
    )
