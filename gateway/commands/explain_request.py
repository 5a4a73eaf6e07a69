"""From the options of `gateway explain` to the call that they describe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import OperatorError
from gateway.http.imagined import NEEDS, Imagined, Unimaginable, imagine

if TYPE_CHECKING:
    from gateway.types import Call


def call_of(options: dict[str, Any]) -> Call:
    """The call. Raises OperatorError for what no request can be."""
    body = options["body"]
    if body is None and not options["model"]:
        raise OperatorError("Name a model: `gateway explain gpt-4o`, or a request with --body.")
    asked = Imagined(
        service=options["service"],
        model=options["model"],
        stream=options["stream"],
        user=options["user"],
        provider=options["provider"],
        tokens=options["tokens"],
        max_tokens=options["max_tokens"],
        needs=frozenset(need for need in NEEDS if options[need]),
        headers=dict(map(_header, options["header"] or [])),
        body=None if body is None else _read(body),
    )
    try:
        return imagine(asked)
    except Unimaginable as error:
        raise OperatorError(f"--{error.field.replace('_', '-')}: {error}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(f"--body: {path} cannot be read: {error.strerror} (check its name)") from None


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise OperatorError("--header: write name=value, such as x-tier=gold")
    return name, value
