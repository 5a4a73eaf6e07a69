"""Claude on Vertex AI: Anthropic's Messages API with the model in the path and the version in the body."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.providers.anthropic import AnthropicDialect
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import ChatRequest
from gateway.providers.messages.passing import COUNT_TOKENS, MESSAGES, passed
from gateway.providers.messages.request import body_of
from gateway.types import Body, Call, Deployment

VERSION = "vertex-2023-10-16"
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
COUNTER = "publishers/anthropic/models/count-tokens:rawPredict"
"""Who counts the tokens of a request, whichever model it is for: that one stands in the body then."""


class ClaudeOnVertex(AnthropicDialect):
    """Bodies and answers alone: the address is Vertex AI's."""

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """See `ChatDialect`."""
        if call.path == COUNT_TOKENS:
            return passed(call, deployment, _counted)
        return passed_to_vertex(call, deployment) if call.path == MESSAGES else super().body(call, deployment)

    def request(self, chat: ChatRequest, call: Call, deployment: Deployment, losses: Losses) -> bytes:
        """See `ChatDialect`."""
        body = {"anthropic_version": VERSION, **body_of(chat, deployment, losses)}
        if call.stream:
            body["stream"] = True
        return msgspec.json.encode(body)


def passed_to_vertex(call: Call, deployment: Deployment) -> Sequence[bytes]:
    """A request of the Messages API as it came, but that the model goes and the version comes."""
    return passed(call, deployment, _renamed)


def _renamed(raw: bytes, call: Call, deployment: Deployment) -> Sequence[bytes]:
    fields = _FIELDS.decode(raw)
    fields.pop("model", None)
    return (msgspec.json.encode({**fields, "anthropic_version": VERSION}),)


def _counted(raw: bytes, call: Call, deployment: Deployment) -> Sequence[bytes]:
    fields = _FIELDS.decode(raw)
    model = deployment.model.rpartition("/")[2]
    return (msgspec.json.encode({**fields, "model": model, "anthropic_version": VERSION}),)


def is_claude(model: str) -> bool:
    """By name, in full (`publishers/anthropic/models/…`) or not."""
    return model.rpartition("/")[2].startswith("claude")
