"""The fields of a request that is translated: read as JSON, the deployment's defaults where the caller set none."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import InvalidJson, InvalidRequest
from gateway.providers.chat.losses import Losses
from gateway.types import Call, Deployment

Json = dict[str, Any]

MAX_NAME = 64
"""Characters of an unknown field's name that an error repeats."""


def read_fields(call: Call, deployment: Deployment, losses: Losses, known: frozenset[str]) -> Json:
    """What is set, by name; `null` is an absent field. Raises InvalidJson, and UnsupportedParameter for a field that is
    not among the `known` and must not be dropped."""
    try:
        fields = msgspec.json.decode(call.raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidJson from None
    if not isinstance(fields, dict):
        raise InvalidJson
    given = {name: value for name, value in fields.items() if value is not None}
    given = {**deployment.parameters, **given}
    for name in given:
        if name not in known:
            losses.parameter(name[:MAX_NAME])
    return given


def count_of(given: Json, name: str) -> int | None:
    """A whole number of at least 1. Raises InvalidRequest for anything else that is given."""
    value = given.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InvalidRequest(f"`{name}` must be a whole number of at least 1.", param=name)
    return value


def word_of(given: Json, name: str) -> str | None:
    """A text. Raises InvalidRequest for anything else that is given."""
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"`{name}` must be text.", param=name)
    return value


def flag_of(given: Json, name: str) -> bool:
    """A yes or no; absent is no. Raises InvalidRequest for anything else that is given."""
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(f"`{name}` must be true or false.", param=name)
    return value
