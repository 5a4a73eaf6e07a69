"""The scripted provider's Cohere surface: version 2 of its API, below `/v2`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.providers.scripted.cohere.chat import chat
from gateway.providers.scripted.cohere.small import embed, rerank, transcribe
from gateway.providers.scripted.cohere.stream import named
from gateway.providers.scripted.scenario import Json, Rejected, Send, Surface

if TYPE_CHECKING:
    from gateway.types import Headers


def _error(error: Rejected) -> Json:
    message = error.message
    if error.code == "context_length_exceeded":
        message = "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs."
    elif error.code == "insufficient_quota":
        message = "You are using a Trial key, which is limited to 1000 API calls / month."
    return {"id": "mock", "message": message}


def _failed(shape: Json) -> tuple[Send, ...]:
    return (named("message-end", {"delta": {"finish_reason": "ERROR", "usage": {}, "error": shape["message"]}}),)


def _headers(request_id: str) -> Headers:
    return ((b"x-debug-trace-id", request_id.encode("latin-1")),)


SURFACE = Surface(
    "cohere",
    (
        ("POST", "/v2/chat", "chat", chat),
        ("POST", "/v2/embed", "embeddings", embed),
        ("POST", "/v2/rerank", "rerank", rerank),
        ("POST", "/v2/audio/transcriptions", "transcription", transcribe),
    ),
    _error,
    _failed,
    _headers,
    Send(b'event: content-delta\ndata: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"\n\n'),
)
