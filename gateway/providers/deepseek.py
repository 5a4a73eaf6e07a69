"""DeepSeek: OpenAI's API under its own address."""

from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.traits import Traits
from gateway.types import Service

DIALECT = OpenAIDialect(
    "deepseek",
    services=frozenset({Service.CHAT, Service.RESPONSES}),
    traits=Traits(max_tokens_field="max_tokens", reasoning_field="reasoning_content"),
)
