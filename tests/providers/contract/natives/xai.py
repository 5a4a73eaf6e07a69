"""xAI: no finish reason until there is one, calls whole in one event, reasoning counted beside the completion."""

from __future__ import annotations

import json

from tests.providers.contract.said import Said

from .openai import OpenAI, call_of, envelope, usage_of


class XAI(OpenAI):
    """See `Native`."""

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        content_type, body = super().reply(said)
        return content_type, json.dumps({**json.loads(body), "usage": _usage(said)}).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        _, frames = super().stream(said)
        finish = json.loads(frames[-3][6:])["choices"][0]["finish_reason"]
        deltas = [delta for delta in self.deltas(said) if "tool_calls" not in delta]
        calls = [{"index": index, **call_of(call)} for index, call in enumerate(said.calls)]
        deltas += [{"tool_calls": [call]} for call in calls]
        base = envelope("chat.completion.chunk")
        spoken = [{**base, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        spoken.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        spoken.append({**base, "choices": [], "usage": _usage(said)})
        packed = [json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode() for one in spoken]
        return b"text/event-stream", [*(b"data: " + one + b"\n\n" for one in packed), frames[-1]]


def _usage(said: Said) -> dict[str, object]:
    usage = usage_of(said)
    usage["completion_tokens"] -= said.counts.reasoning
    return {**usage, "num_sources_used": 0, "cost_in_usd_ticks": 1_487_000}


NATIVE = XAI()
