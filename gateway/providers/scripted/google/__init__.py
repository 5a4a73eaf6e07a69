"""The scripted provider's Google surface: generateContent and embeddings, of the Gemini API and of Vertex AI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.providers.scripted.google.claude import raw_predict
from gateway.providers.scripted.google.embeddings import batch, predict
from gateway.providers.scripted.google.generate import count_tokens, generate, stream
from gateway.providers.scripted.scenario import Json, Rejected, Send, Surface, event

if TYPE_CHECKING:
    from gateway.types import Headers

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _error(error: Rejected) -> Json:
    message = error.message
    if error.code == "context_length_exceeded":
        message = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    status = _STATUSES.get(error.status, "UNKNOWN")
    return {"error": {"code": error.status, "message": message, "status": status}}


def _failed(shape: Json) -> tuple[Send, ...]:
    return (event(shape),)


def _headers(request_id: str) -> Headers:
    return ((b"x-goog-request-id", request_id.encode("latin-1")),)


_PLACE = "/projects/{project}/locations/{location}/publishers"
_VERTEX = f"{_PLACE}/google/models/{{model}}"
_CLAUDE = f"{_PLACE}/anthropic/models/{{model}}"

SURFACE = Surface(
    "google",
    (
        ("POST", "/models/{model}:generateContent", "chat", generate),
        ("POST", "/models/{model}:streamGenerateContent", "chat", stream),
        ("POST", "/models/{model}:countTokens", "chat", count_tokens),
        ("POST", "/models/{model}:batchEmbedContents", "embeddings", batch),
        ("POST", f"{_VERTEX}:generateContent", "chat", generate),
        ("POST", f"{_VERTEX}:streamGenerateContent", "chat", stream),
        ("POST", f"{_VERTEX}:countTokens", "chat", count_tokens),
        ("POST", f"{_VERTEX}:predict", "embeddings", predict),
        ("POST", f"{_CLAUDE}:rawPredict", "chat", raw_predict),
        ("POST", f"{_CLAUDE}:streamRawPredict", "chat", raw_predict),
    ),
    _error,
    _failed,
    _headers,
    Send(b'data: {"candidates":[{"content":{"parts":[{"text":"\n\n'),
)
