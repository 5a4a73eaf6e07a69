"""Mistral: OpenAI's API with some names of its own; it refuses what it does not know."""

from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.traits import Traits
from gateway.types import Service

_TRAITS = Traits(
    max_tokens_field="max_tokens",
    seed_name="random_seed",
    stream_options=False,
    tool_id_length=9,
    dimensions_name="output_dimension",
    known=frozenset(
        {
            "frequency_penalty",
            "guardrails",
            "logprobs",
            "max_tokens",
            "metadata",
            "min_tokens",
            "n",
            "parallel_tool_calls",
            "prediction",
            "presence_penalty",
            "prompt_cache_key",
            "prompt_mode",
            "random_seed",
            "reasoning_effort",
            "repetition_penalty",
            "response_format",
            "safe_prompt",
            "service_tier",
            "stop",
            "temperature",
            "tool_choice",
            "tools",
            "top_k",
            "top_logprobs",
            "top_p",
        }
    ),
    plain_messages=True,
    thinking_parts=True,
)

DIALECT = OpenAIDialect(
    "mistral",
    services=frozenset({Service.CHAT, Service.EMBEDDINGS, Service.MODERATIONS, Service.TRANSCRIPTION}),
    traits=_TRAITS,
)
