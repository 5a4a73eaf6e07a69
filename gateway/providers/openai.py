"""OpenAI itself: pass-through, with its organisation and project headers."""

from gateway.providers.wire.head import HeaderPairs, bearer
from gateway.providers.wire.openai import OpenAIDialect
from gateway.types import Provider, Service


def _credentials(provider: Provider, api_key: str | None) -> HeaderPairs:
    headers = bearer(provider, api_key)
    for option, name in (("org_id", b"openai-organization"), ("project_id", b"openai-project")):
        value = provider.options.get(option)
        if value:
            headers.append((name, str(value).encode()))
    return headers


DIALECT = OpenAIDialect(
    "openai",
    credentials=_credentials,
    services=frozenset(Service) - {Service.RERANK},
    chat_cap="max_completion_tokens",
)
