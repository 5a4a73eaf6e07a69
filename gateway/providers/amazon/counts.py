"""What Bedrock counted of a model that was invoked: in a header, whatever the model answers."""

from __future__ import annotations

from gateway.providers.wire.usage import MOST
from gateway.types import Headers, Usage

_INPUT = b"x-amzn-bedrock-input-token-count"


def counted(headers: Headers) -> Usage | None:
    """None where it says nothing."""
    told = next((value for name, value in headers if name == _INPUT), b"")
    return Usage(min(int(told), MOST)) if told.isdigit() else None
