"""What a resource may not say whatever the document allows: secrets in the open, files of this machine, private
networks. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from gateway.addresses import literal, names_private, permitted
from gateway.registry import scalars
from gateway.registry.catalogue import provider_type, secret_settings
from gateway.registry.resources.errors import Problem
from gateway.registry.resources.records import Change, Kind, Resource, State
from gateway.registry.resources.unlocking import HEADER, KEY
from gateway.registry.schema.fields import ModelName, Name
from gateway.registry.schema.providers import header_name, header_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.addresses import Network
    from gateway.registry.catalogue import Known

Vet = Callable[[str], None]
"""Of a reference: raises ValueError when it may not be read."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What run-time resources are held within."""

    vet: Vet
    networks: tuple[Network, ...] = ()
    """Private networks that providers may be in."""
    dialects: Known | None = None


_NAMES = TypeAdapter[str](Name)
_MODELS = TypeAdapter[str](ModelName)
_ELSEWHERE = {
    "models": "models are resources of their own (create them below the provider)",
    KEY: "secrets are no settings (store a credential)",
    "allow_private_network": "only the configuration file can allow private networks (or GATEWAY_PRIVATE_NETWORKS)",
    "ca_file": "files of the gateway's machine can be named in the configuration file only",
    "credentials_file": "files of the gateway's machine cannot be named here (store a credential that refers to one)",
}
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|credential|password", re.IGNORECASE)
_REFERENCE = re.compile(r"(?:env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^\0]{1,1024})")


def opens_something(header: str) -> bool:
    """Whether a header of this name usually holds a secret."""
    return _SECRET_HEADER.search(header) is not None


def problems_of(change: Change, state: State, bounds: Bounds) -> list[Problem]:
    """What is wrong with a resource as it is after a change."""
    resource = change.after
    if resource is None:
        return []
    found = [*_name(resource)]
    if resource.kind is Kind.PROVIDER:
        found += _provider(resource, bounds)
    elif resource.kind is Kind.CREDENTIAL:
        found += _credential(resource, state, bounds)
    return [Problem(resource.kind, resource.id, resource.name, *problem) for problem in found]


def secret_problems(
    provider_settings: Mapping[str, Any], secret: Mapping[str, str], dialects: Known | None
) -> Iterator[tuple[str, str]]:
    """What is wrong with a secret in plain; no text holds any of it."""
    for name, value in secret.items():
        try:
            (header_value if name.startswith(HEADER) else scalars.credential)(value)
        except ValueError as error:
            yield f"secret.{name}", str(error)
    yield from _fields("secret", secret, provider_settings, dialects)


def _name(resource: Resource) -> Iterator[tuple[str, str]]:
    try:
        (_MODELS if resource.kind is Kind.MODEL else _NAMES).validate_python(resource.name, strict=True)
    except ValidationError as error:
        message = str(error.errors(include_url=False, include_input=False)[0]["msg"])
        yield "name", message.removeprefix("Value error, ")


def _provider(resource: Resource, bounds: Bounds) -> Iterator[tuple[str, str]]:
    settings = resource.settings
    for name, reason in _ELSEWHERE.items():
        if name in settings:
            yield name, reason
    kind = provider_type(settings.get("type"), bounds.dialects)
    for name in sorted(secret_settings(kind) - _ELSEWHERE.keys()) if kind is not None else ():
        if name in settings:
            yield name, _ELSEWHERE[KEY]
    headers = settings.get("headers")
    for header in headers if isinstance(headers, dict) else ():
        if isinstance(header, str) and opens_something(header):
            yield (
                f"headers.{header}",
                f"a header that opens something is no setting (store a credential with `{HEADER}{header}`)",
            )
    for name in ("base_url", "api_url", "iam_url"):
        if isinstance(settings.get(name), str) and not _may_be_reached(settings[name], bounds.networks):
            yield name, "this address is private (name a public one, or add its network to GATEWAY_PRIVATE_NETWORKS)"


def _may_be_reached(url: str, networks: tuple[Network, ...]) -> bool:
    """Unless the host says itself that it is private. What a name resolves to is looked at when it is connected to."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return True  # the document's own check complains
    address = literal(host)
    if address is not None:
        return permitted(address, private=False, networks=networks)
    return not names_private(host) or any(ip_address("127.0.0.1") in network for network in networks)


def _credential(resource: Resource, state: State, bounds: Bounds) -> Iterator[tuple[str, str]]:
    references = resource.settings.get("references", {})
    unknown = set(resource.settings) - {"status", "references", "fields"}
    for name in sorted(unknown):
        yield name, "a credential has no such setting (known: status, references)"
    if resource.settings.get("status", "active") not in ("active", "inactive"):
        yield "status", "a credential is active or inactive"
    if not isinstance(references, dict):
        yield "references", "expected a mapping of settings to env:NAME or file:PATH"
        return
    for name, reference in references.items():
        if not isinstance(reference, str) or _REFERENCE.fullmatch(reference) is None:
            yield f"references.{name}", "expected env:NAME or file:PATH"
            continue
        try:
            bounds.vet(reference)
        except ValueError as error:
            yield f"references.{name}", str(error)
    owner = state.of(Kind.PROVIDER).get(resource.provider_id or "")
    if owner is not None:
        yield from _fields("references", references, owner.settings, bounds.dialects)


def _fields(
    where: str, fields: Mapping[str, str], provider_settings: Mapping[str, Any], dialects: Known | None
) -> Iterator[tuple[str, str]]:
    """Settings that a provider of this type has no secret in."""
    kind = provider_type(provider_settings.get("type"), dialects)
    known = {"credentials_file", *(secret_settings(kind) if kind is not None else (KEY,))}
    for name in fields:
        if name.startswith(HEADER):
            try:
                header_name(name.removeprefix(HEADER))
            except ValueError as error:
                yield f"{where}.{name}", str(error)
        elif name not in known:
            listed = ", ".join(sorted(known))
            yield (
                f"{where}.{name}",
                f"a provider of this type takes no such credential (known: {listed}, {HEADER}<name>)",
            )
