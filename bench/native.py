"""The upstream's answers in Anthropic's words, with the content and counts of `payloads`: what a translator gets."""

from typing import Any

from bench import payloads

PATH = "/v1/messages"
_IDENTITY = {"id": "msg_01B9MBs8CjcvOU2jLn4n570S", "type": "message", "role": "assistant", "model": payloads.MODEL}
_USAGE = {
    "input_tokens": payloads.USAGE["prompt_tokens"],
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": payloads.USAGE["completion_tokens"],
    "service_tier": "standard",
}


def reply() -> bytes:
    """One message with the text of `payloads.reply`."""
    content, _, _ = payloads.essence(payloads.reply())
    text = [{"type": "text", "text": content}]
    return payloads.dump({**_IDENTITY, "content": text, "stop_reason": "end_turn", "usage": _USAGE})


def stream() -> bytes:
    """A stream with a delta for each of the words of `payloads.stream`."""
    words = [delta["content"] for delta, _ in payloads.deltas() if delta and delta.get("content")]
    opening: dict[str, Any] = {**_IDENTITY, "content": [], "stop_reason": None, "usage": {**_USAGE, "output_tokens": 1}}
    events: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": opening}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        *(("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word}}) for word in words),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": _USAGE}),
        ("message_stop", {}),
    ]
    return b"".join(_event(kind, fields) for kind, fields in events)


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: ".encode() + payloads.dump({"type": kind, **fields}) + b"\n\n"
