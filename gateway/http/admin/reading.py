"""How the bodies of requests are read: strictly, and by no parser that a hostile one can wear out."""

from __future__ import annotations

import json
from typing import Any

import orjson
from starlette.requests import Request

DEPTH = 32
"""How deep a body may be nested."""


class StrictRequest(Request):
    """A request whose body is JSON as RFC 8259 has it: UTF-8, no NaN, no lone surrogates, no NUL, not too deep."""

    async def json(self) -> Any:
        """The body's value. Raises json.JSONDecodeError."""
        try:
            value = orjson.loads(await self.body())
        except orjson.JSONDecodeError as error:
            raise json.JSONDecodeError("no JSON", "", 0) from error
        if not _sane(value, DEPTH):
            raise json.JSONDecodeError("too deep, or with NUL characters", "", 0)
        return value


def _sane(value: Any, depth: int) -> bool:
    if isinstance(value, str):
        return "\0" not in value
    if not isinstance(value, dict | list):
        return True
    if depth == 0:
        return False
    if isinstance(value, dict):
        return all("\0" not in key and _sane(item, depth - 1) for key, item in value.items())
    return all(_sane(item, depth - 1) for item in value)
