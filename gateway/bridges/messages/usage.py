"""Token counts as the Messages API reports them: what was read from a cache or written to it stands apart."""

from __future__ import annotations

from typing import Any

from gateway.types import Call, Usage

BYTES_PER_TOKEN = 4


def usage_object(usage: Usage) -> dict[str, Any]:
    """As a message, or its last event, carries it."""
    # Some providers tell more of their caches than of the whole.
    read = min(usage.cached_input_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - read)
    told: dict[str, Any] = {
        "input_tokens": usage.input_tokens - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


def estimated(call: Call, output_bytes: int) -> Usage:
    """For a provider that tells nothing: clients are owed numbers, and unknown is not zero."""
    return Usage(call.input_tokens, max(1, output_bytes // BYTES_PER_TOKEN) if output_bytes else 0)
