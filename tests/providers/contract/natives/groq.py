"""Groq: reasoning under another name, usage of a stream in a place of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gateway.ports import RequestHead
from tests.providers.contract.said import Heard, Said

from .openai import OpenAI, frame_of, usage_of


class Groq(OpenAI):
    """See `Native`."""

    base_url = "https://provider.invalid/openai/v1"
    refuses: Mapping[str, str] = {"n_two": "n"}
    silent = frozenset({"refused"})

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        for message in json.loads(body)["messages"]:
            assert message.keys() <= {"role", "content", "tool_calls", "tool_call_id", "reasoning"}
        return super().heard(head, body)

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        content_type, body = super().reply(said)
        return content_type, body.replace(b'"reasoning_content"', b'"reasoning"')

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        content_type, frames = super().stream(said)
        told = [json.loads(frame[6:]) for frame in frames[:-2]]
        for one in told:
            del one["usage"]
        told[-1]["x_groq"] = {"id": "req_1", "usage": usage_of(said)}
        frames = [frame_of(one).replace(b'"reasoning_content"', b'"reasoning"') for one in told]
        return content_type, [*frames, b"data: [DONE]\n\n"]


NATIVE = Groq()
