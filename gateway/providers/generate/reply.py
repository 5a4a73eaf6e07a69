"""A whole answer of generateContent, and the words and counts that its stream shares."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamBadResponse, UpstreamServerError
from gateway.providers.chat.replies import Called, ChatReply, Choice, Picture
from gateway.providers.generate.errors import error_in_reply
from gateway.providers.generate.logprobs import LogprobsResult, logprobs_of
from gateway.providers.wire.tiers import served_at
from gateway.providers.wire.usage import MOST
from gateway.types import Usage

FILTERED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
    }
)
FAILED = frozenset(
    {
        "OTHER",
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "NO_IMAGE",
        "IMAGE_OTHER",
    }
)
"""The model broke down: there is no answer to give, and another attempt may have one."""
_NUMBERED = (
    "",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
)
"""Some of Google's transports give the enumeration's number in place of its word."""


class FunctionCall(msgspec.Struct, gc=False):
    name: str = ""
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def arguments(self) -> str:
        """JSON text without line breaks. Raises UpstreamBadResponse for what is no object, or a call of nothing."""
        raw = bytes(self.args)
        if not self.name or raw[:1] not in (b"{", b"n"):
            raise UpstreamBadResponse
        if raw == b"null":
            return "{}"
        return (msgspec.json.format(raw, indent=-1) if b"\n" in raw else raw).decode()


class Blob(msgspec.Struct, gc=False, rename="camel"):
    mime_type: str = ""
    data: str = ""


class Part(msgspec.Struct, gc=False, rename="camel"):
    """Parts that are neither text, call nor picture are work of Google's own tools: not for the client."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None

    @property
    def picture(self) -> Picture | None:
        """One that is part of the answer: those of its thoughts are drafts of it."""
        blob = self.inline_data
        if blob is None or self.thought or not blob.mime_type.startswith("image/"):
            return None
        return Picture(f"data:{blob.mime_type};base64,{blob.data}", self.extra)

    @property
    def extra(self) -> Any:
        """What the API wants back with a call or a picture, where Google's own OpenAI endpoint has it."""
        signature = self.thought_signature
        return {"google": {"thought_signature": signature}} if signature else None


class Content(msgspec.Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    index: int = 0
    content: Content | None = None
    finish_reason: str | int | None = None
    logprobs_result: LogprobsResult | None = None

    @property
    def parts(self) -> list[Part]:
        return (self.content.parts or []) if self.content is not None else []


class Counted(msgspec.Struct, gc=False, rename="camel"):
    modality: str | int = ""
    token_count: float | None = None


class WireUsage(msgspec.Struct, gc=False, rename="camel"):
    """Counts; in a stream each object replaces the one before."""

    prompt_token_count: float | None = None
    candidates_token_count: float | None = None
    thoughts_token_count: float | None = None
    tool_use_prompt_token_count: float | None = None
    cached_content_token_count: float | None = None
    total_token_count: float | None = None
    prompt_tokens_details: list[Counted] | None = None
    cache_tokens_details: list[Counted] | None = None
    candidates_tokens_details: list[Counted] | None = None
    service_tier: object = None
    traffic_type: object = None
    """Vertex AI's word for it."""

    @property
    def made(self) -> bool:
        """It counts an answer, not only the prompt."""
        return bool(self.candidates_token_count or self.thoughts_token_count)

    def counted(self) -> Usage | None:
        """In our terms: thinking is output, what tools fetched is input. None where nothing is counted."""
        thoughts, total = _count(self.thoughts_token_count), _count(self.total_token_count)
        output = _count(self.candidates_token_count) + thoughts
        given = _count(self.prompt_token_count) + _count(self.tool_use_prompt_token_count)
        if not given:
            # Prompts of fetched files alone are not told, but are part of the total.
            given = max(0, total - output)
        if not given and not output:
            return None
        return Usage(
            given,
            output,
            _count(self.cached_content_token_count),
            0,
            thoughts,
            # What was read from the cache is cheap, whatever it is: only sound that was heard anew has sound's price.
            max(0, _sound(self.prompt_tokens_details) - _sound(self.cache_tokens_details)),
            _sound(self.candidates_tokens_details),
            service_tier=served_at(self.service_tier or self.traffic_type),
        )


class Feedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: str | int | None = None


class Response(msgspec.Struct, gc=False, rename="camel"):
    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: WireUsage | None = None
    response_id: str = ""
    error: Any = None

    @property
    def blocked(self) -> bool:
        """The prompt was refused: there are no candidates."""
        return not self.candidates and self.prompt_feedback is not None and bool(self.prompt_feedback.block_reason)


_RESPONSE = msgspec.json.Decoder(Response)


def read_reply(body: bytes) -> ChatReply:
    """Raises UpstreamBadResponse, the error that a 200 hides, or what decoding raises."""
    response = _RESPONSE.decode(body)
    if response.error:
        raise error_in_reply(response.error)
    usage = response.usage_metadata.counted() if response.usage_metadata is not None else None
    if response.blocked:
        return ChatReply([Choice("content_filter")], usage, response.response_id)
    candidates = sorted(response.candidates or (), key=lambda candidate: candidate.index)
    return ChatReply([_choice(candidate) for candidate in candidates], usage, response.response_id)


def finish_of(reason: str | int) -> str:
    """OpenAI's word for a finish reason; an unknown one is `stop`. Raises UpstreamServerError for a breakdown."""
    if isinstance(reason, int):
        reason = _NUMBERED[reason] if 0 <= reason < len(_NUMBERED) else ""
    if reason in FAILED:
        raise UpstreamServerError
    return "length" if reason == "MAX_TOKENS" else "content_filter" if reason in FILTERED else "stop"


def _choice(candidate: Candidate) -> Choice:
    if candidate.finish_reason is None:
        raise UpstreamBadResponse
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Called] = []
    pictures: list[Picture] = []
    for part in candidate.parts:
        if part.function_call is not None:
            call = part.function_call
            calls.append(Called(call.id or "", call.name, call.arguments, part.extra))
        elif part.text:
            (thoughts if part.thought else texts).append(part.text)
        elif (picture := part.picture) is not None:
            pictures.append(picture)
    told = candidate.logprobs_result
    return Choice(
        finish_of(candidate.finish_reason),
        "".join(texts),
        calls,
        "".join(thoughts),
        logprobs=None if told is None else logprobs_of(told),
        pictures=pictures,
    )


def _count(value: float | None) -> int:
    return int(min(value, MOST)) if value and value > 0 else 0


def _sound(details: list[Counted] | None) -> int:
    return sum(_count(one.token_count) for one in details if one.modality == "AUDIO") if details else 0
