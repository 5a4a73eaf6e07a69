"""Recorded exchanges with real providers, kept beside the project: bytes as they came, and what was asked."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[4] / "shared" / "recordings"
present = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recordings are not part of the project and not here")


@dataclass(frozen=True)
class Exchange:
    """One request and its answer. `request` is None where it was not recorded."""

    name: str
    provider: str
    api: str
    stream: bool
    path: str
    request: dict[str, Any] | None
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@cache
def exchanges(provider: str, api: str) -> tuple[Exchange, ...]:
    """Every exchange in one API of one provider; none where the recordings are absent."""
    return tuple(_read(provider, api))


def _read(provider: str, api: str) -> Iterator[Exchange]:
    for path in sorted((FOLDER / provider).glob("*.json")):
        recorded = json.loads(path.read_text())
        if recorded["api"] != api:
            continue
        request, response = recorded["request"], recorded["response"]
        headers = {"content-type": "application/json", **(response.get("headers") or {})}
        yield Exchange(
            f"{provider}/{path.stem}",
            provider,
            api,
            recorded["stream"],
            request.get("path") or "",
            request.get("body"),
            response["status"],
            tuple((name.lower().encode(), str(value).encode()) for name, value in headers.items()),
            _framed(response["body"]) if recorded["stream"] and _is_array(response) else _body(response),
        )


def _is_array(response: dict[str, Any]) -> bool:
    return isinstance(response.get("body"), list)


def _framed(events: list[Any]) -> bytes:
    """Google streams one JSON array to who does not ask for events; we ask."""
    return b"".join(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in events)


def _body(response: dict[str, Any]) -> bytes:
    if response.get("body_text") is not None:
        text: str = response["body_text"]
        return text.encode()
    if response.get("body_base64") is not None:
        return base64.b64decode(response["body_base64"])
    return json.dumps(response["body"], ensure_ascii=False).encode()
