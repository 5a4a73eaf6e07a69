"""Token counts as OpenAI's API reports them, in either of its two vocabularies."""

from __future__ import annotations

import msgspec

from gateway.types import Usage


class _Details(msgspec.Struct, gc=False):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None
    reasoning_tokens: float | None = None


class WireUsage(msgspec.Struct, gc=False):
    """`usage` of chat, completions and embeddings (`prompt_tokens`) or of responses, images and audio
    (`input_tokens`)."""

    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    total_tokens: float | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None

    def counted(self) -> Usage | None:
        """The counts, or None when the object carries none (a transcription billed by the second, say)."""
        given = self.prompt_tokens if self.prompt_tokens is not None else self.input_tokens
        made = self.completion_tokens if self.completion_tokens is not None else self.output_tokens
        if given is None and made is None:
            if self.total_tokens is None:
                return None
            given = self.total_tokens
        before = self.prompt_tokens_details or self.input_tokens_details or _NONE
        after = self.completion_tokens_details or self.output_tokens_details or _NONE
        reasoning = after.reasoning_tokens
        if reasoning and self.total_tokens == (given or 0) + (made or 0) + reasoning:
            # xAI counts reasoning beside the completion, not in it; only the total tells.
            made = (made or 0) + reasoning
        return Usage(
            _count(given) if given else 0,
            _count(made) if made else 0,
            _count(before.cached_tokens) if before.cached_tokens else 0,
            _count(before.cache_write_tokens) if before.cache_write_tokens else 0,
            _count(reasoning) if reasoning else 0,
        )


_NONE = _Details()


def _count(value: float) -> int:
    return int(value) if value > 0 else 0
