"""Behaviour on demand: the directives a caller writes into the model's name or the `x-mock-script` header.

    model:          mock-fault/status-429+retry-after-2
    x-mock-script:  status=429; retry-after=2

A directive is a name, or a name with a number behind `-` or `=`; times take `ms` or `s`, seconds when bare. Directives
are joined by `+`, `;`, `,` or `-`. The header wins over the model's name, directive by directive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any

from gateway.providers.scripted.scenario import Rejected

MARK = "mock-fault/"


@dataclass(frozen=True, slots=True)
class Script:
    """Every directive: a field's name with `-` for `_`. int: a count, float: seconds, bool: a switch."""

    # instead of an answer
    status: int | None = None
    retry_after: float | None = None
    insufficient_quota: bool = False
    context_length: bool = False
    empty_200: bool = False
    null_200: bool = False
    html_200: bool = False
    error_in_200: bool = False
    # time and the connection
    slow_first_byte: float | None = None
    pace: float | None = None
    hang: bool = False
    drop: bool = False
    stall_after: int | None = None
    cut_after: int | None = None
    reset_after: int | None = None
    end_after: int | None = None
    # bytes on the wire
    malformed_after: int | None = None
    error_after: int | None = None
    split: int | None = None
    crlf: bool = False
    comments: bool = False
    no_done: bool = False
    # the answer itself
    tokens: int | None = None
    reasoning: int | None = None
    cached: int | None = None
    calls: int | None = None
    interleave: bool = False
    unicode: bool = False
    no_usage: bool = False
    usage_unasked: bool = False
    content_filter: bool = False


_KINDS = {field.name.replace("_", "-"): str(field.type).split(" ")[0] for field in fields(Script)}
NAMES = tuple(sorted(_KINDS))
_DEFAULT_COUNT = {"reasoning": 8, "calls": 2, "split": 1, "cached": 1}
_ANY = 10**9
_MOST = {"tokens": 1_000_000, "reasoning": 1_000_000, "calls": 128}
_DIRECTIVE = re.compile(
    rf"\s*(?P<name>{'|'.join(sorted(_KINDS, key=len, reverse=True))})"
    r"(?:[-=](?P<number>\d{1,9}(?:\.\d{1,6})?)(?P<unit>ms|s)?)?\s*(?:[-+;,]|$)"
)


def script_of(model: str, header: str) -> Script:
    """What the model's name and the header ask for. Raises Rejected for a directive that does not exist."""
    script = Script()
    _, mark, named = model.partition(MARK)
    for text in (named if mark else "", header):
        script = replace(script, **_parse(text))
    return script


def _parse(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    position = 0
    text = text.strip()
    while position < len(text):
        match = _DIRECTIVE.match(text, position)
        if match is None:
            raise Rejected(400, f"Unknown mock directive at {text[position : position + 40]!r}.", param="model")
        found[match["name"].replace("-", "_")] = _value(match)
        position = match.end()
    return found


def _value(match: re.Match[str]) -> int | float | bool:
    name, number, unit = match["name"], match["number"], match["unit"]
    kind = _KINDS[name]
    if kind == "bool":
        if number is not None:
            raise Rejected(400, f"The mock directive {name!r} takes no number.", param="model")
        return True
    if number is None:
        if name not in _DEFAULT_COUNT:
            raise Rejected(400, f"The mock directive {name!r} needs a number.", param="model")
        return _DEFAULT_COUNT[name]
    if kind == "float":
        return float(number) / 1000 if unit == "ms" else float(number)
    if unit or "." in number:
        raise Rejected(400, f"The mock directive {name!r} takes a whole number.", param="model")
    if int(number) > _MOST.get(name, _ANY):
        raise Rejected(400, f"The mock directive {name!r} takes at most {_MOST[name]}.", param="model")
    return int(number)
