"""xAI: OpenAI's API under its own address."""

from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.traits import Traits
from gateway.types import Service

DIALECT = OpenAIDialect(
    "xai",
    services=frozenset({Service.CHAT, Service.COMPLETIONS, Service.EMBEDDINGS, Service.IMAGES, Service.RESPONSES}),
    chat_cap="max_completion_tokens",
    traits=Traits(reasoning_field="reasoning_content"),
)
