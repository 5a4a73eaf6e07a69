"""The requests sent, the replies of the upstream, and the check that a system passed them on whole."""

import json
from typing import Any

MODEL = "bench-model"
REQUEST_BYTES = 700
REPLY_BYTES = 861
STREAM_BYTES = 18_800
STREAM_EVENTS = 62
BIG_BYTES = 200_000

_SENTENCE = "The quick brown fox jumps over the lazy dog while seven wizards quietly brew a potion. "
_IDENTITY = {"id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "created": 1741569952, "model": MODEL}
USAGE = {
    "prompt_tokens": 148,
    "completion_tokens": 60,
    "total_tokens": 208,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def _prose(length: int) -> str:
    return (_SENTENCE * (length // len(_SENTENCE) + 1))[:length]


def dump(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def _chat(prompt: str, *, stream: bool) -> bytes:
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant. Answer briefly."},
            {"role": "user", "content": prompt},
        ],
        "temperature": 0.7,
        "max_tokens": 256,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return dump(body)


def request(*, stream: bool = False, size: int = REQUEST_BYTES) -> bytes:
    """A chat request of exactly `size` bytes."""
    return _chat(_prose(size - len(_chat("", stream=stream))), stream=stream)


def _reply(content: str) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": None, "annotations": []},
        "logprobs": None,
        "finish_reason": "stop",
    }
    return dump({"object": "chat.completion", **_IDENTITY, "choices": [choice], "usage": USAGE})


def reply() -> bytes:
    """The upstream's answer of REPLY_BYTES."""
    return _reply(_prose(REPLY_BYTES - len(_reply(""))))


def _event(delta: dict[str, str] | None, finish: str | None, padding: str) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    chunk = {"object": "chat.completion.chunk", **_IDENTITY, "service_tier": "default", "choices": choices}
    return b"data: " + dump(chunk | {"usage": USAGE if delta is None else None, "obfuscation": padding}) + b"\n\n"


def deltas() -> list[tuple[dict[str, str] | None, str | None]]:
    """What each event of the stream adds, and its finish reason."""
    words = (_SENTENCE * 9).split(" ")
    return [
        ({"role": "assistant", "content": ""}, None),
        *(({"content": f"{word} "}, None) for word in words[: STREAM_EVENTS - 3]),
        ({}, "stop"),
        (None, None),
    ]


DONE = b"data: [DONE]\n\n"


def stream_events() -> list[bytes]:
    """The upstream's stream, event by event: role, words, finish, usage; together STREAM_BYTES with the DONE line.

    The padding stands where OpenAI puts its own, in `obfuscation`.
    """
    pairs = deltas()
    missing = STREAM_BYTES - len(DONE) - sum(len(_event(*pair, "")) for pair in pairs)
    each, rest = divmod(missing, len(pairs))
    return [_event(*pair, "x" * (each + (index < rest))) for index, pair in enumerate(pairs)]


def stream() -> bytes:
    """The whole stream with its end."""
    return b"".join(stream_events()) + DONE


def read_stream(body: bytes) -> tuple[int, str, bool]:
    """How many JSON events a stream has, its joined content, and whether `[DONE]` ends it."""
    lines = [line[5:].strip() for line in body.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data:")]
    done = bool(lines) and lines[-1] == b"[DONE]"
    events = [json.loads(line) for line in lines if line != b"[DONE]"]
    pieces = [choice["delta"].get("content") or "" for event in events for choice in event["choices"]]
    return len(events), "".join(pieces), done


def complaint(body: bytes, *, stream_reply: bool) -> str | None:
    """What is wrong with a reply that came through a system; None when it carries all the upstream sent."""
    try:
        return _stream_complaint(body) if stream_reply else _reply_complaint(body)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return f"the reply is not what OpenAI's API sends ({type(error).__name__}): {body[:200]!r}"


def essence(body: bytes) -> tuple[Any, Any, Any]:
    """Content, finish reason and total tokens of a reply."""
    answer = json.loads(body)
    choice = answer["choices"][0]
    return choice["message"]["content"], choice["finish_reason"], answer["usage"]["total_tokens"]


def _reply_complaint(body: bytes) -> str | None:
    got = essence(body)
    return None if got == essence(reply()) else f"content, finish_reason or usage differ: {got!r}"


def _stream_complaint(body: bytes) -> str | None:
    events, content, done = read_stream(body)
    _, sent, _ = read_stream(stream())
    if content != sent:
        return f"the content differs after {len(content)} of {len(sent)} characters"
    if not done:
        return "[DONE] is missing"
    if events != STREAM_EVENTS:
        return f"{events} events instead of {STREAM_EVENTS}"
    return None
