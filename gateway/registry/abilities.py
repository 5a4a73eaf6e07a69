"""`capabilities` of a provider or model, read: words that routing goes by, and traits that dialects go by.

A plain list names what there is. A mapping may also say what there is not, and how it differs from OpenAI's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.registry import scalars

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Traits = tuple[tuple[str, Any], ...]
NEEDS = frozenset({"vision", "audio", "tools", "json_schema"})
"""What requests can ask for: all of it is there where only something else is said to be missing."""


WORDS = (
    "chat",
    "completions",
    "embeddings",
    "responses",
    "rerank",
    "moderations",
    "images",
    "speech",
    "transcription",
    "vision",
    "audio",
    "tools",
    "json_schema",
    "reasoning",
)
"""What a model can do, in words that something here goes by."""


def _name(value: Any) -> str | None:
    return None if value == "none" else scalars.text(value)


def _set(value: Any) -> frozenset[str]:
    return frozenset(scalars.words(value))


TRAITS: Mapping[str, Callable[[Any], Any]] = {
    "developer_role": scalars.flag,
    "system_role": scalars.flag,
    "max_tokens_field": scalars.text,
    "seed_name": _name,
    "stream_options": scalars.flag,
    "parallel_tool_calls": scalars.flag,
    "tool_choice": _set,
    "sampling": scalars.flag,
    "n_max": scalars.whole,
    "stop_max": scalars.whole,
    "top_logprobs_max": scalars.whole,
    "tool_id_length": scalars.whole,
    "image_url_http": scalars.flag,
    "image_mimes": _set,
    "reasoning_field": scalars.text,
    "encoding_format": scalars.flag,
    "nulls": scalars.flag,
    "any_case": scalars.flag,
    "flat_content": scalars.flag,
}
"""By the names of `providers.wire.traits`."""


def unknown_words(value: Any) -> tuple[str, ...]:
    """Those of a plain list that nothing here goes by."""
    listed = [value] if isinstance(value, str) else value if isinstance(value, list) else ()
    return tuple(word for word in listed if isinstance(word, str) and word not in WORDS)


def words_of(value: Any) -> frozenset[str]:
    """What there is, as far as it is declared; empty: nothing is known."""
    if not isinstance(value, dict):
        return frozenset(scalars.words(value)) if value else frozenset()
    said = {name: scalars.flag(one) for name, one in value.items() if name not in TRAITS and one is not None}
    there = frozenset(name for name, one in said.items() if one)
    return there or (NEEDS - said.keys() if said else frozenset())


def traits_of(value: Any) -> Traits:
    """How it differs from OpenAI's own, by the names of `providers.wire.traits`."""
    if not isinstance(value, dict):
        return ()
    return tuple(sorted((name, TRAITS[name](one)) for name, one in value.items() if name in TRAITS and one is not None))


def joined(provider: Traits, model: Traits) -> Traits:
    """A model's where it has its own, else its provider's."""
    return tuple(sorted({**dict(provider), **dict(model)}.items())) if model else provider
