"""Token counts as OpenAI's API reports them, in either of its two vocabularies."""

from __future__ import annotations

import msgspec

from gateway.types import Usage


class _Details(msgspec.Struct, gc=False):
    cached_tokens: float | None = None
    cache_write_tokens: float | None = None
    reasoning_tokens: float | None = None


class WireUsage(msgspec.Struct, gc=False):
    """`usage` of chat, completions and embeddings (`prompt_tokens`) or of responses, images and audio (`input_tokens`)."""

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
        if after.reasoning_tokens and self.total_tokens == (given or 0) + (made or 0) + after.reasoning_tokens:
            # xAI counts reasoning beside the completion, not in it; only the total tells.
            made = (made or 0) + after.reasoning_tokens
        return Usage(
            input_tokens=_count(given),
            output_tokens=_count(made),
            cached_input_tokens=_count(before.cached_tokens),
            cache_write_tokens=_count(before.cache_write_tokens),
            reasoning_tokens=_count(after.reasoning_tokens),
        )


_NONE = _Details()


def _count(value: float | None) -> int:
    return max(0, int(value)) if value else 0
