"""What a provider or a model with OpenAI's API does differently, as data: each type has its own, an operator may add to
them per provider and per model.

A type without traits gets and gives bytes as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

CHOICES = frozenset({"auto", "none", "required", "named"})
"""Ways of `tool_choice` that everybody has; `allowed_tools` is OpenAI's."""
EVERY_CHOICE = CHOICES | {"allowed_tools"}
CAP_NAMES = ("max_tokens", "max_completion_tokens")
FINISHES: Mapping[str, str | None] = {
    "model_length": "length",
    "max_tokens": "length",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "sensitive": "content_filter",
    "error": None,
    "abort": None,
    "network_error": None,
    "insufficient_system_resource": None,
}
"""Finish reasons of imitators in OpenAI's words; None: the model broke down."""


@dataclass(frozen=True, slots=True)
class Traits:
    """How a request is put for it. Replies are mended alike for all who have traits."""

    developer_role: bool = False
    """It knows `developer`; else that is `system`."""
    system_role: bool = True
    """It knows `system`; else what that says is the user's."""
    max_tokens_field: str | None = None
    """The only name it has for the limit of the output; None: it knows both."""
    seed_name: str | None = "seed"
    """None: it has none."""
    stream_options: bool = True
    parallel_tool_calls: bool = True
    tool_choice: frozenset[str] = CHOICES
    sampling: bool = True
    """It takes `temperature`, `top_p` and penalties."""
    n_max: int | None = None
    stop_max: int | None = None
    top_logprobs_max: int | None = None
    tool_id_length: int | None = None
    """Ids of tool calls are letters and digits, so many of them."""
    image_url_http: bool = True
    """It fetches pictures itself."""
    image_mimes: frozenset[str] = frozenset()
    """Types of pictures that it takes as data; empty: nothing is known."""
    reasoning_field: str | None = None
    """The name under which it takes its reasoning back; None: as the client sends it."""
    encoding_format: bool = True
    """It knows this parameter of embeddings."""
    dimensions_name: str = "dimensions"
    nulls: bool = False
    """It takes members that are null."""
    known: frozenset[str] = frozenset()
    """Every parameter that it has, for those that refuse all others; empty: nothing is known."""
    lost: frozenset[str] = frozenset()
    """Parameters that change the answer and that it would ignore."""
    plain_messages: bool = False
    """It refuses members of messages that it does not know."""
    thinking_parts: bool = False
    """It takes its reasoning back as parts of the content."""
    any_case: bool = False
    """It takes a member for a parameter whatever its letters' case, as programs in Go do: `STREAM` is `stream`."""
    flat_content: bool = False
    """It takes texts only as strings, not as parts."""
    finishes: Mapping[str, str | None] = field(default_factory=lambda: FINISHES)

    def name_of(self, parameter: str) -> str:
        """Its own name for a parameter of chats."""
        if parameter in CAP_NAMES:
            return self.max_tokens_field or parameter
        return (self.seed_name or parameter) if parameter == "seed" else parameter

    def __hash__(self) -> int:
        # The mapping has no hash; identity is enough, and what an operator changed has its own object.
        return id(self)


AS_OPENAI = Traits(developer_role=True, tool_choice=EVERY_CHOICE, nulls=True)
"""What a type without traits has."""


@lru_cache(maxsize=4096)
def changed(traits: Traits, pairs: tuple[tuple[str, Any], ...]) -> Traits:
    """The same with what an operator says of a model."""
    return replace(traits, **dict(pairs))
