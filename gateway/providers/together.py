"""Together: OpenAI's API, with reasoning under another name."""

from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.traits import Traits
from gateway.types import Service

_SERVICES = frozenset(
    {
        Service.CHAT,
        Service.COMPLETIONS,
        Service.EMBEDDINGS,
        Service.IMAGES,
        Service.RERANK,
        Service.SPEECH,
        Service.TRANSCRIPTION,
    }
)

DIALECT = OpenAIDialect(
    "together",
    services=_SERVICES,
    traits=Traits(max_tokens_field="max_tokens", reasoning_field="reasoning"),
)
