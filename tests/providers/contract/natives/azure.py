"""Azure OpenAI: OpenAI's chat completions with the words of its filters, and a first event without a choice."""

from __future__ import annotations

import json
from typing import Any

from gateway.ports import RequestHead
from tests.providers.contract.said import Heard, Said

from .openai import OpenAI, frame_of

_SAFE = {"hate": {"filtered": False, "severity": "safe"}}
_PROMPT = [{"prompt_index": 0, "content_filter_results": _SAFE}]


class Azure(OpenAI):
    """See `Native`."""

    base_url = "https://provider.invalid/openai/v1"

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        assert head.target == b"/openai/v1/chat/completions"
        assert dict(head.headers)[b"api-key"] == b"secret"
        return super().heard(head, body)

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        content_type, body = super().reply(said)
        fields: dict[str, Any] = {**json.loads(body), "prompt_filter_results": _PROMPT}
        fields["choices"][0]["content_filter_results"] = _SAFE
        return content_type, json.dumps(fields).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        content_type, frames = super().stream(said)
        nothing = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": _PROMPT}
        offsets = {"check_offset": 1, "start_offset": 1, "end_offset": 9}
        late = {"content_filter_offsets": offsets, "content_filter_results": _SAFE, "finish_reason": None, "index": 0}
        annotation = {"choices": [late], "created": 0, "id": "", "model": "", "object": ""}
        return content_type, [frame_of(nothing), *frames[:1], frame_of(annotation), *frames[1:]]

    def refusal(self, status: int, message: str) -> bytes:
        return json.dumps({"error": {"code": str(status), "message": message}}).encode()


NATIVE = Azure()
