"""OpenRouter: the role in every event, comments between them, failures as finish reasons."""

from __future__ import annotations

import json

from tests.providers.contract.said import Said

from .openai import OpenAI, envelope, frame_of


class OpenRouter(OpenAI):
    """See `Native`."""

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        content_type, body = super().reply(said)
        return content_type, body.replace(b'"reasoning_content"', b'"reasoning"')

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        content_type, frames = super().stream(said)
        told = [json.loads(frame[6:]) for frame in frames[:-1]]
        for one in told[:-1]:
            (choice,) = one["choices"]
            choice["delta"] = {"role": "assistant", "content": "", **choice["delta"]}
            choice["native_finish_reason"] = choice["finish_reason"]
            del one["usage"]
        spoken = [frame_of(one).replace(b'"reasoning_content"', b'"reasoning"') for one in told]
        return content_type, [b": OPENROUTER PROCESSING\n\n", *spoken, frames[-1]]

    def broken(self) -> bytes:
        failure = {"code": 503, "message": "busy", "metadata": {"provider_name": "x"}}
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": failure}
        return frame_of({**envelope("chat.completion.chunk"), "choices": [choice]})


NATIVE = OpenRouter()
