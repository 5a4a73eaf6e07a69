"""vLLM: OpenAI's API on one's own machines."""

from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.traits import Traits
from gateway.types import Service

_SERVICES = frozenset(
    {
        Service.CHAT,
        Service.COMPLETIONS,
        Service.EMBEDDINGS,
        Service.RERANK,
        Service.RESPONSES,
        Service.TRANSCRIPTION,
    }
)

DIALECT = OpenAIDialect("vllm", services=_SERVICES, traits=Traits(reasoning_field="reasoning"))
