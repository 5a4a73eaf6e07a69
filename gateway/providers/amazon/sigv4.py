"""Signature Version 4: a request of AWS's, signed with an access key.

Source: "Signature Version 4 signing process" of the AWS General Reference. Signed are the body, the host and every
header of AWS's own (`x-amz-…`); anything else may change on its way.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from time import gmtime, strftime
from urllib.parse import quote

from gateway.types import Headers

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key, with the token of its session where it is a temporary one."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for."""

    region: str
    service: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, as it is sent: the path is percent-encoded already, once."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """Lower-case names; those to be signed, `host` among them."""


def signed(target: Target, body: Iterable[bytes], keys: Keys, scope: Scope, now: float) -> Headers:
    """The headers that carry the signature. `now` is in Unix seconds; AWS takes it for five minutes."""
    moment = strftime("%Y%m%dT%H%M%SZ", gmtime(now))
    own = [("x-amz-date", moment)]
    if keys.session_token:
        own.append(("x-amz-security-token", keys.session_token))
    headers = sorted([*target.headers, *own])
    names = ";".join(name for name, _ in headers)
    credentials = f"{moment[:8]}/{scope.region}/{scope.service}/aws4_request"
    canonical = canonical_request(target, headers, names, _digest(body))
    text = "\n".join((ALGORITHM, moment, credentials, hashlib.sha256(canonical.encode()).hexdigest()))
    key = _signing_key(keys.secret_access_key, moment[:8], scope.region, scope.service)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"{ALGORITHM} Credential={keys.access_key_id}/{credentials}, SignedHeaders={names}, Signature={signature}"
    )
    return [(name.encode(), value.encode()) for name, value in (*own, ("authorization", authorization))]


def canonical_request(target: Target, headers: Sequence[tuple[str, str]], names: str, digest: str) -> str:
    """The request in the one spelling that both sides sign. The path is encoded once more than it is sent."""
    lines = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in headers)
    pairs = sorted(pair.partition("=")[::2] for pair in target.query.split("&") if pair)
    query = "&".join(f"{name}={value}" for name, value in pairs)
    path = quote(target.path or "/", safe="/-_.~")
    return "\n".join((target.method, path, query, lines, names, digest))


def _digest(body: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in body:
        digest.update(part)
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The same for a whole day."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
