"""Token counts as OpenAI's API reports them, in either of its two vocabularies."""

from __future__ import annotations

import msgspec

from gateway.providers.wire.tiers import served_at
from gateway.types import Usage

MOST = 10**9
"""No call has as many tokens, or seconds of sound: a count that is as large or larger is a mistake, told as this much.
It must not overflow what adds it up, and nobody is charged for it."""


class _Details(msgspec.Struct, gc=False):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None
    reasoning_tokens: float | None = None
    audio_tokens: float | None = None


class WireUsage(msgspec.Struct, gc=False):
    """`usage` of chat, completions and embeddings (`prompt_tokens`) or of responses, images and audio
    (`input_tokens`). The last few members are single providers' own, of any type: a surprise there spoils no reply."""

    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    total_tokens: float | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    input_token_details: _Details | None = None
    """Of transcriptions, which spell it so."""
    seconds: object = None
    """Of audio, where the provider sells that: OpenAI's `{"type": "duration", "seconds": 9}`."""
    prompt_audio_seconds: object = None
    """Mistral's, beside its tokens."""
    prompt_cache_hit_tokens: object = None
    """DeepSeek's name for cached tokens."""
    cached_tokens: object = None
    """Moonshot's place for them."""
    reasoning_tokens: object = None
    """Together's and Perplexity's place for them."""
    cache_creation_input_tokens: object = None
    """Of gateways that pass on Anthropic's word for cache writes."""
    service_tier: object = None
    """Mistral's place for it; OpenAI's is beside the usage."""
    num_search_queries: object = None
    """Perplexity's."""

    @property
    def is_odd(self) -> bool:
        """Whether something may stand in another place than OpenAI's, or be counted in another way."""
        return (
            self.total_tokens != (self.prompt_tokens or 0) + (self.completion_tokens or 0)
            or self.prompt_cache_hit_tokens is not None
            or self.cached_tokens is not None
            or self.reasoning_tokens is not None
        )

    def counted(self, told: object = None, searches: int = 0) -> Usage | None:
        """The counts, or None when the object carries none. `told` is what stands beside them as `service_tier`,
        `searches` how many the answer shows."""
        if told is None:
            told = self.service_tier
        tier = "" if told is None else served_at(told)
        given = self.prompt_tokens if self.prompt_tokens is not None else self.input_tokens
        made = self.completion_tokens if self.completion_tokens is not None else self.output_tokens
        if made and made < 0:
            return None  # how some servers say that they have not counted
        if given is None and made is None:
            given = self.total_tokens
            seconds = _seconds(self.seconds) or _seconds(self.prompt_audio_seconds)
            if given is None:
                return Usage(units=seconds, service_tier=tier) if seconds else None
        else:
            if self.total_tokens and (given is None or made is None):
                # One side and the whole: the other side is the rest.
                rest = max(0.0, self.total_tokens - (given or made or 0))
                given, made = (rest, made) if given is None else (given, rest)
            seconds = _seconds(self.prompt_audio_seconds) if self.prompt_audio_seconds is not None else 0.0
        before = self.prompt_tokens_details or self.input_tokens_details or self.input_token_details or _NONE
        after = self.completion_tokens_details or self.output_tokens_details or _NONE
        reasoning = after.reasoning_tokens
        if reasoning is None and isinstance(self.reasoning_tokens, int | float):
            reasoning = self.reasoning_tokens
        if reasoning and (self.total_tokens == (given or 0) + (made or 0) + reasoning or reasoning > (made or 0)):
            # xAI counts reasoning beside the completion, not in it; the total tells, or that it is more than the whole.
            made = (made or 0) + reasoning
        return Usage(
            _count(given) if given else 0,
            _count(made) if made else 0,
            _first(before.cached_tokens, self.prompt_cache_hit_tokens, self.cached_tokens),
            _first(before.cache_write_tokens, self.cache_creation_input_tokens),
            _count(reasoning) if reasoning else 0,
            _count(before.audio_tokens) if before.audio_tokens else 0,
            _count(after.audio_tokens) if after.audio_tokens else 0,
            seconds,
            0,
            1,
            tier,
            searches if self.num_search_queries is None else _first(self.num_search_queries),
        )


_NONE = _Details()


def _first(*values: object) -> int:
    """The first of them that is a count above zero."""
    for value in values:
        if value and isinstance(value, int | float):
            return _count(value)
    return 0


def _count(value: float) -> int:
    return 0 if value <= 0 else MOST if value > MOST else int(value)


def _seconds(value: object) -> float:
    return float(min(value, MOST)) if isinstance(value, int | float) and value > 0 else 0.0
