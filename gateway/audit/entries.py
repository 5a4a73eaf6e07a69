"""One entry, and what its hash is made of. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.audit.masking import masked

LONGEST = 64 * 1024
"""Characters of `before` and of `after`; what is longer stands there as its length and hash."""
LONGEST_WORD = 512
GENESIS = ""
"""What stands before the first entry."""
COLUMNS = (
    *("seq", "at", "actor", "actor_kind", "role", "action", "resource_kind", "resource_id"),
    *("before", "after", "address", "request_id", "keyed", "previous"),
)
"""What an entry's hash covers: every column but the hash."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which resource. `before` and `after` are what the resource was and is; secrets are masked when
    they are written."""

    actor: str
    actor_kind: str
    """`key`, `token`, `session`, `cli` or `system`."""
    action: str
    """`create`, `update`, `delete`, `rotate`, `login`, …"""
    resource_kind: str
    resource_id: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    role: str = ""
    address: str = ""
    """Where the request came from."""
    request_id: str = ""


class Doer(Protocol):
    """Who did something."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def role(self) -> str: ...


class Noted(Protocol):
    """What was done."""

    @property
    def action(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def before(self) -> Mapping[str, Any] | None: ...
    @property
    def after(self) -> Mapping[str, Any] | None: ...


def entry_for(who: Doer, note: Noted, *, address: str = "", request_id: str = "") -> AuditEntry:
    """The entry that says this of somebody."""
    return AuditEntry(
        who.name, who.kind, note.action, note.kind, note.id, note.before, note.after, str(who.role), address, request_id
    )


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log."""

    seq: int
    hash: str
    keyed: bool = False


def columns_of(entry: AuditEntry, head: Head, at: int, key: bytes | None) -> dict[str, Any]:
    """The row that follows the head."""
    row: dict[str, Any] = {
        "seq": head.seq + 1,
        "at": at,
        "actor": _word(entry.actor),
        "actor_kind": _word(entry.actor_kind),
        "role": _word(entry.role),
        "action": _word(entry.action),
        "resource_kind": _word(entry.resource_kind),
        "resource_id": _word(entry.resource_id),
        "before": _text(entry.before),
        "after": _text(entry.after),
        "address": _word(entry.address),
        "request_id": _word(entry.request_id),
        "keyed": int(key is not None),
        "previous": head.hash,
    }
    return row | {"hash": digest_of(row, key)}


def digest_of(row: Mapping[str, Any], key: bytes | None) -> str:
    """The hash of a row: HMAC-SHA256 with the audit key, SHA-256 without one."""
    return _digest([row[name] for name in COLUMNS], key)


def seal_of(head: Head, key: bytes | None) -> str:
    """What vouches for the head itself."""
    return _digest(["head", head.seq, head.hash, int(head.keyed)], key)


def _digest(values: list[Any], key: bytes | None) -> str:
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest() if key is None else hmac.digest(key, text, "sha256").hex()


def _word(text: str) -> str:
    """What every database takes: no NUL, no lone surrogates, and not without end."""
    return text[:LONGEST_WORD].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _text(value: Mapping[str, Any] | None) -> str | None:
    if value is None:
        return None
    text = json.dumps(masked(value), ensure_ascii=True, separators=(",", ":"), sort_keys=True, default=str)
    if len(text) <= LONGEST:
        return text
    return json.dumps({"omitted": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()})
