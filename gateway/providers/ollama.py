"""Ollama: the part of OpenAI's API that it has. What it does not know it ignores, so it is told apart here."""

from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.traits import Traits
from gateway.types import Service

_TRAITS = Traits(
    max_tokens_field="max_tokens",
    parallel_tool_calls=False,
    tool_choice=frozenset({"auto"}),
    n_max=1,
    image_url_http=False,
    image_mimes=frozenset({"image/jpeg", "image/jpg", "image/png", "image/webp"}),
    reasoning_field="reasoning",
    lost=frozenset({"audio", "function_call", "functions", "logit_bias", "modalities", "web_search_options"}),
    flat_content=True,
    any_case=True,
)

DIALECT = OpenAIDialect(
    "ollama",
    services=frozenset(
        {Service.CHAT, Service.COMPLETIONS, Service.EMBEDDINGS, Service.RESPONSES, Service.TRANSCRIPTION}
    ),
    traits=_TRAITS,
)
