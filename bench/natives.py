"""The upstream's answers in the words of each API that is translated, with the content and counts of `payloads`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench import payloads
from gateway.providers.scripted.amazon.frames import named

Json = dict[str, Any]
OPENAI_PATH = "^/v1/chat/completions$"
"""Where every upstream answers in OpenAI's words anyway."""
PROMPT, COMPLETION, TOTAL = (payloads.USAGE[f"{kind}_tokens"] for kind in ("prompt", "completion", "total"))
SSE, JSON, FRAMES = "sse", "json", "frames"
"""What an answer is, and how its file ends."""
MEDIA_TYPES = {SSE: "text/event-stream", JSON: "application/json", FRAMES: "application/vnd.amazon.eventstream"}


@dataclass(frozen=True, slots=True)
class Native:
    """One API: how a provider of it is configured, where it is asked, and what it answers.

    `type` is the provider's type. In `settings`, ORIGIN is the upstream's. Paths are regular expressions for their end;
    `token` is what is asked for a token first.
    """

    name: str
    title: str
    type: str
    settings: Mapping[str, str]
    paths: tuple[str, str]
    reply: Callable[[], bytes]
    stream: Callable[[], bytes]
    framing: str = SSE
    token: tuple[str, bytes] | None = None

    def yaml(self, text: str) -> str:
        """The configuration of the gateway with this provider in place of the one that passes through."""
        lines = [f"type: {self.type}", *(f"{name}: {value}" for name, value in self.settings.items())]
        start, end = text.index("type: openai_compatible"), text.index("allow_private_network")
        return text[:start] + "\n    ".join([*lines, ""]) + text[end:]


def _words() -> list[str]:
    return [delta["content"] for delta, _ in payloads.deltas() if delta and delta.get("content")]


def _text() -> str:
    content: str = payloads.essence(payloads.reply())[0]
    return content


def _data(fields: Json, name: str | None = None) -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + payloads.dump(fields) + b"\n\n"


# ---- Anthropic -------------------------------------------------------------------------------------------------------

_MESSAGE = {"id": "msg_01B9MBs8CjcvOU2jLn4n570S", "type": "message", "role": "assistant", "model": payloads.MODEL}
_ANTHROPIC_USAGE = {
    "input_tokens": PROMPT,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": COMPLETION,
    "service_tier": "standard",
}


def _anthropic_reply() -> bytes:
    text = [{"type": "text", "text": _text()}]
    return payloads.dump({**_MESSAGE, "content": text, "stop_reason": "end_turn", "usage": _ANTHROPIC_USAGE})


def _anthropic_stream() -> bytes:
    opening: Json = {**_MESSAGE, "content": [], "stop_reason": None, "usage": {**_ANTHROPIC_USAGE, "output_tokens": 1}}
    ending = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": _ANTHROPIC_USAGE}
    events: list[tuple[str, Json]] = [
        ("message_start", {"message": opening}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        *(("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word}}) for word in _words()),
        ("content_block_stop", {"index": 0}),
        ("message_delta", ending),
        ("message_stop", {}),
    ]
    return b"".join(_data({"type": kind, **fields}, kind) for kind, fields in events)


# ---- Google ----------------------------------------------------------------------------------------------------------

_GOOGLE_IDENTITY = {"modelVersion": payloads.MODEL, "responseId": "B9MBs8CjcvOU2jLn4n570S"}
_GOOGLE_USAGE = {"promptTokenCount": PROMPT, "candidatesTokenCount": COMPLETION, "totalTokenCount": TOTAL}


def _google(text: str, **fields: Any) -> Json:
    candidate = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}, **fields}
    return {"candidates": [candidate], **_GOOGLE_IDENTITY, "usageMetadata": _GOOGLE_USAGE}


def _google_reply() -> bytes:
    return payloads.dump(_google(_text(), finishReason="STOP"))


def _google_stream() -> bytes:
    return b"".join(map(_data, [*map(_google, _words()), _google("", finishReason="STOP")]))


# ---- Amazon ----------------------------------------------------------------------------------------------------------

_AMAZON_USAGE = {"inputTokens": PROMPT, "outputTokens": COMPLETION, "totalTokens": TOTAL}


def _amazon_reply() -> bytes:
    message = {"role": "assistant", "content": [{"text": _text()}]}
    ended = {"stopReason": "end_turn", "usage": _AMAZON_USAGE, "metrics": {"latencyMs": 1}}
    return payloads.dump({"output": {"message": message}, **ended})


def _amazon_stream() -> bytes:
    events: list[tuple[str, Json]] = [
        ("messageStart", {"role": "assistant"}),
        *(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in _words()),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": _AMAZON_USAGE, "metrics": {"latencyMs": 1}}),
    ]
    return b"".join(named(kind, fields).data for kind, fields in events)


# ---- Cohere ----------------------------------------------------------------------------------------------------------

_COHERE_COUNTS = {"input_tokens": PROMPT, "output_tokens": COMPLETION}
_COHERE_END = {"finish_reason": "COMPLETE", "usage": {"billed_units": _COHERE_COUNTS, "tokens": _COHERE_COUNTS}}


def _cohere_reply() -> bytes:
    message = {"role": "assistant", "content": [{"type": "text", "text": _text()}]}
    return payloads.dump({"id": "d6b802abd1066274dfc1ae130fe89f38", "message": message, **_COHERE_END})


def _cohere_content(content: Json) -> Json:
    return {"index": 0, "delta": {"message": {"content": content}}}


def _cohere_stream() -> bytes:
    opening = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    events: list[tuple[str, Json]] = [
        ("message-start", {"id": "d6b802abd1066274dfc1ae130fe89f38", "delta": {"message": opening}}),
        ("content-start", _cohere_content({"type": "text", "text": ""})),
        *(("content-delta", _cohere_content({"text": word})) for word in _words()),
        ("content-end", {"index": 0}),
        ("message-end", {"delta": _COHERE_END}),
    ]
    return b"".join(_data({"type": kind, **fields}, kind) for kind, fields in events) + payloads.DONE


# ---- OpenAI's Responses API ------------------------------------------------------------------------------------------

_RESPONSE: Json = {"id": "resp_B9MBs8CjcvOU2jLn4n570S", "object": "response", "created_at": 1741569952, "error": None}
_RESPONSE |= {"model": payloads.MODEL, "incomplete_details": None}
_RESPONSE_USAGE = {"input_tokens": PROMPT, "output_tokens": COMPLETION, "total_tokens": TOTAL}
_ITEM = {"id": "msg_B9MBs8CjcvOU2jLn4n570S", "type": "message", "role": "assistant"}


def _response(text: str) -> Json:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {**_ITEM, "status": "completed", "content": [part]}
    return {**_RESPONSE, "status": "completed", "output": [item], "usage": _RESPONSE_USAGE}


def _responses_stream() -> bytes:
    text, place = "".join(_words()), {"item_id": _ITEM["id"], "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": []}
    opened = {**_RESPONSE, "status": "in_progress", "output": [], "usage": None}
    events: list[tuple[str, Json]] = [
        ("created", {"response": opened}),
        ("output_item.added", {"output_index": 0, "item": {**_ITEM, "status": "in_progress", "content": []}}),
        ("content_part.added", {**place, "part": {**part, "text": ""}}),
        *(("output_text.delta", {**place, "delta": word}) for word in _words()),
        ("output_text.done", {**place, "text": text}),
        ("content_part.done", {**place, "part": part}),
        ("output_item.done", {"output_index": 0, "item": {**_ITEM, "status": "completed", "content": [part]}}),
        ("completed", {"response": _response(text)}),
    ]
    numbered = enumerate(events)
    return b"".join(
        _data({"type": f"response.{kind}", "sequence_number": number, **fields}, f"response.{kind}")
        for number, (kind, fields) in numbered
    )


# ---- the table -------------------------------------------------------------------------------------------------------

_AT_V1 = {"base_url": "ORIGIN/v1", "api_key": "upstream-key"}
_AWS = {"base_url": "ORIGIN", "region": "eu-west-1", "access_key_id": "an-id", "secret_access_key": "upstream-key"}
_IBM = {"api_url": "ORIGIN", "iam_url": "ORIGIN", "project_id": "mine", "api_key": "upstream-key"}
_IBM_TOKEN = payloads.dump({"access_token": "a-token", "token_type": "Bearer", "expires_in": 3600})
_GOOGLE_PATHS = (":generateContent$", ":streamGenerateContent$")
_VERTEX = {"base_url": "ORIGIN/v1beta1", "project": "mine", "location": "global", "access_token": "a-token"}


def _responses_reply() -> bytes:
    return payloads.dump(_response(_text()))


NATIVES: tuple[Native, ...] = (
    Native("anthropic", "Anthropic", "anthropic", _AT_V1, ("^/v1/messages$",) * 2, _anthropic_reply, _anthropic_stream),
    Native(
        "gemini",
        "Gemini",
        "gemini",
        {"base_url": "ORIGIN/v1beta", "api_key": "upstream-key"},
        _GOOGLE_PATHS,
        _google_reply,
        _google_stream,
    ),
    Native("vertex", "Vertex", "vertex", _VERTEX, _GOOGLE_PATHS, _google_reply, _google_stream),
    Native(
        "bedrock",
        "Bedrock",
        "bedrock",
        _AWS,
        ("/converse$", "/converse-stream$"),
        _amazon_reply,
        _amazon_stream,
        FRAMES,
    ),
    Native(
        "cohere",
        "Cohere",
        "cohere",
        {"base_url": "ORIGIN/v2", "api_key": "upstream-key"},
        ("^/v2/chat$",) * 2,
        _cohere_reply,
        _cohere_stream,
    ),
    Native(
        "watsonx",
        "watsonx",
        "watsonx",
        _IBM,
        ("/text/chat$", "/text/chat_stream$"),
        payloads.reply,
        payloads.stream,
        token=("/identity/token$", _IBM_TOKEN),
    ),
    Native(
        "azure",
        "Azure, dated",
        "azure",
        {**_AT_V1, "base_url": "ORIGIN/openai/v1", "api_version": '"2024-10-21"'},
        ("^/openai/deployments/.*/chat/completions$",) * 2,
        payloads.reply,
        payloads.stream,
    ),
    Native("mistral", "Mistral", "mistral", _AT_V1, (OPENAI_PATH,) * 2, payloads.reply, payloads.stream),
    Native(
        "responses",
        "Responses API",
        "openai",
        {**_AT_V1, "api": "responses"},
        ("^/v1/responses$",) * 2,
        _responses_reply,
        _responses_stream,
    ),
)


def answers(native: Native, *, stream: bool) -> Iterable[tuple[str, str, bytes]]:
    """What an upstream of this API answers: a path's end, what it is and the bytes."""
    if native.token is not None:
        yield native.token[0], JSON, native.token[1]
    if stream:
        yield native.paths[1], native.framing, native.stream()
    else:
        yield native.paths[0], JSON, native.reply()
