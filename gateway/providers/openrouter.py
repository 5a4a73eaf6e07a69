"""OpenRouter: OpenAI's API in front of many providers, whose failures it tells inside answers."""

from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.traits import EVERY_CHOICE, Traits
from gateway.types import Service

DIALECT = OpenAIDialect(
    "openrouter",
    services=frozenset({Service.CHAT, Service.COMPLETIONS, Service.EMBEDDINGS, Service.RESPONSES}),
    traits=Traits(developer_role=True, tool_choice=EVERY_CHOICE, reasoning_field="reasoning"),
)
