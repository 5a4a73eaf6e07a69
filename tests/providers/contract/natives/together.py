"""Together: every member in every event, mostly null; usage has its reasoning beside the details."""

from __future__ import annotations

import json
from typing import Any

from tests.providers.contract.said import Said

from .openai import OpenAI, frame_of, usage_of

_CALL: dict[str, Any] = {"id": None, "type": "function"}


class Together(OpenAI):
    """See `Native`."""

    silent = frozenset({"refused"})

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        content_type, body = super().reply(said)
        fields = json.loads(body)
        message = fields["choices"][0]["message"]
        message["reasoning"] = message.pop("reasoning_content", None)
        fields["usage"] = _usage(said)
        return content_type, json.dumps(fields).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        content_type, frames = super().stream(said)
        told = [json.loads(frame[6:]) for frame in frames[:-1]]
        for one in told[:-1]:
            (choice,) = one["choices"]
            delta = choice["delta"]
            for call in delta.get("tool_calls") or ():
                call.update({**_CALL, **call})
                call["function"] = {"name": None, **call["function"]}
            thought = delta.pop("reasoning_content", None)
            choice["delta"] = {"token_id": None, "role": "assistant", "content": "", "reasoning": thought, **delta}
            choice["text"] = choice["delta"]["content"]
        told[-1]["usage"] = _usage(said)
        return content_type, [*(frame_of(one) for one in told), frames[-1]]


def _usage(said: Said) -> dict[str, Any]:
    usage = usage_of(said)
    return {**usage, "completion_tokens_details": None, "reasoning_tokens": said.counts.reasoning}


NATIVE = Together()
