"""From places in the configuration's words to the words and fields that callers of the admin API know. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.http.admin.provider_shapes import ELSEWHERE, Runtime
from gateway.registry.resources.records import Kind

WORDS = {
    Kind.PROVIDER: "provider",
    Kind.MODEL: "model",
    Kind.CREDENTIAL: "credential",
    Kind.TEMPLATE: "template",
    Kind.RULE: "routing rule",
    Kind.TEAM: "team",
    Kind.LIMIT: "limit",
}
"""What people call resources."""
_MODEL = {"context_window": "context_length", "price": "pricing"}


def provider_field(place: str) -> str:
    """`concurrency_limit` is `runtime.concurrency_limit`, `region` is `options.region`."""
    first, dot, rest = place.partition(".")
    if first in Runtime.model_fields:
        return f"runtime.{place}"
    if first == "name":
        return "identifier"
    if first == "capabilities":
        return f"capabilities.words{dot}{rest}"
    if not first or first in ELSEWHERE:
        return place
    return f"options.{place}"


def model_field(place: str) -> str:
    """`price.input` is `pricing.input`."""
    first, dot, rest = place.partition(".")
    if first == "name":
        return "model"
    return f"{_MODEL.get(first, first)}{dot}{rest}"


def credential_field(place: str) -> str:
    """`secret.api_key` is `fields.api_key`."""
    first, dot, rest = place.partition(".")
    return f"fields{dot}{rest}" if first == "secret" else place


_FIELDS: Mapping[str, Callable[[str], str]] = {
    Kind.PROVIDER: provider_field,
    Kind.MODEL: model_field,
    Kind.CREDENTIAL: credential_field,
}


def field_of(kind: str, place: str) -> str | None:
    """The field as the caller calls it; None for the whole."""
    return _FIELDS.get(kind, str)(place) or None
