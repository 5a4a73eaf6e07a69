"""Claude on Vertex AI: Anthropic's Messages API with the model in the path and the version in the body."""

from __future__ import annotations

import msgspec

from gateway.providers.anthropic import AnthropicDialect
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import ChatRequest
from gateway.providers.messages.request import body_of
from gateway.types import Call, Deployment

VERSION = "vertex-2023-10-16"


class ClaudeOnVertex(AnthropicDialect):
    """Bodies and answers alone: the address is Vertex AI's."""

    def request(self, chat: ChatRequest, call: Call, deployment: Deployment, losses: Losses) -> bytes:
        """See `ChatDialect`."""
        body = {"anthropic_version": VERSION, **body_of(chat, deployment, losses)}
        if call.stream:
            body["stream"] = True
        return msgspec.json.encode(body)


def is_claude(model: str) -> bool:
    """By name, in full (`publishers/anthropic/models/…`) or not."""
    return model.rpartition("/")[2].startswith("claude")
