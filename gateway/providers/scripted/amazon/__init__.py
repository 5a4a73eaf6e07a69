"""The scripted provider's Bedrock surface: Converse, its binary event streams, and models that are invoked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.providers.scripted.amazon.claude import count, invoke_stream
from gateway.providers.scripted.amazon.converse import converse, converse_stream
from gateway.providers.scripted.amazon.frames import GARBLED, failed
from gateway.providers.scripted.amazon.invoke import invoke
from gateway.providers.scripted.scenario import Json, Rejected, Surface

if TYPE_CHECKING:
    from gateway.types import Headers


def _error(error: Rejected) -> Json:
    message = error.message
    if error.code == "context_length_exceeded":
        message = "Input is too long for requested model."
    return {"message": message}


def _headers(request_id: str) -> Headers:
    return ((b"x-amzn-requestid", request_id.encode("latin-1")),)


SURFACE = Surface(
    "amazon",
    (
        ("POST", "/model/{model}/converse", "chat", converse),
        ("POST", "/model/{model}/converse-stream", "chat", converse_stream),
        ("POST", "/model/{model}/invoke", "embeddings", invoke),
        ("POST", "/model/{model}/invoke-with-response-stream", "chat", invoke_stream),
        ("POST", "/model/{model}/count-tokens", "chat", count),
    ),
    _error,
    failed,
    _headers,
    GARBLED,
)
