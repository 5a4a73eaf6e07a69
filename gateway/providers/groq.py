"""Groq: OpenAI's API, with reasoning under another name and usage in a place of its own."""

from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.traits import Traits
from gateway.types import Service

_TRAITS = Traits(
    n_max=1,
    reasoning_field="reasoning",
    lost=frozenset({"logit_bias", "logprobs", "top_logprobs"}),
    plain_messages=True,
)

DIALECT = OpenAIDialect(
    "groq",
    services=frozenset({Service.CHAT, Service.EMBEDDINGS, Service.RESPONSES, Service.SPEECH, Service.TRANSCRIPTION}),
    chat_cap="max_completion_tokens",
    traits=_TRAITS,
)
