"""The scripted provider's watsonx.ai surface, and the identity service that its tokens are from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from gateway.providers.scripted.scenario import Json, Rejected, Send, Surface
from gateway.providers.scripted.watsonx.chat import chat, chat_stream
from gateway.providers.scripted.watsonx.small import embeddings, models, rerank, token

if TYPE_CHECKING:
    from gateway.types import Headers

_CODES = {401: "authentication_token_not_valid", 404: "model_not_supported", 429: "rate_limit_reached_requests"}


def _error(error: Rejected) -> Json:
    message, code = error.message, _CODES.get(error.status, "invalid_request_entity")
    if error.code == "context_length_exceeded":
        message = "the number of input tokens 9000 cannot exceed the total tokens limit 8192 for this model"
        code = "invalid_input_argument"
    elif error.code == "insufficient_quota":
        code = "token_quota_reached"
    return {"errors": [{"code": code, "message": message}], "trace": "mock", "status_code": error.status}


def _failed(shape: Json) -> tuple[Send, ...]:
    return (Send(b"event: error\ndata: " + orjson.dumps(shape) + b"\n\n"),)


def _headers(request_id: str) -> Headers:
    return ((b"x-global-transaction-id", request_id.encode("latin-1")),)


SURFACE = Surface(
    "watsonx",
    (
        ("POST", "/identity/token", "token", token),
        ("POST", "/ml/v1/text/chat", "chat", chat),
        ("POST", "/ml/v1/text/chat_stream", "chat", chat_stream),
        ("POST", "/ml/v1/deployments/{model}/text/chat", "chat", chat),
        ("POST", "/ml/v1/deployments/{model}/text/chat_stream", "chat", chat_stream),
        ("POST", "/ml/v1/text/embeddings", "embeddings", embeddings),
        ("POST", "/ml/v1/text/rerank", "rerank", rerank),
        ("GET", "/ml/v1/foundation_model_specs", "models", models),
    ),
    _error,
    _failed,
    _headers,
    Send(b'id: 0\nevent: message\ndata: {"id":"broken","choices":[{"index":0,"delta":{"content":"\n\n'),
)
