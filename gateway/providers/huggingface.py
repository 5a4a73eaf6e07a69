"""Hugging Face: OpenAI's API in front of many providers."""

from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.traits import Traits
from gateway.types import Service

DIALECT = OpenAIDialect(
    "huggingface",
    services=frozenset({Service.CHAT, Service.RESPONSES}),
    traits=Traits(max_tokens_field="max_tokens", stop_max=4, top_logprobs_max=5),
)
