"""Templates for every provider type that this gateway speaks, made of what the types themselves say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.registry.catalogue import ProviderType, provider_type
from gateway.registry.resources.records import Kind, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.ports import Dialect

PREFIX = "system-"
_ELSEWHERE = frozenset({"credentials_file"})
"""Files of the gateway's machine are no parameters."""
_NAMES = {
    "anthropic": ("Anthropic", "Claude models by Anthropic's own API."),
    "azure": ("Azure OpenAI", "OpenAI's models in Microsoft Azure."),
    "bedrock": ("Amazon Bedrock", "Models of many makers in AWS."),
    "cohere": ("Cohere", "Chat, embeddings and reranking by Cohere's own API."),
    "deepseek": ("DeepSeek", "DeepSeek's models."),
    "gemini": ("Google Gemini", "Gemini models by Google's API for developers."),
    "groq": ("Groq", "Open models on Groq's hardware."),
    "huggingface": ("Hugging Face", "Inference providers behind Hugging Face's router."),
    "meta": ("Meta Llama API", "Llama models by Meta."),
    "mistral": ("Mistral AI", "Mistral's models."),
    "mock": ("Mock", "A scripted provider inside the gateway, for trying things out."),
    "ollama": ("Ollama", "Open models on a machine of your own."),
    "openai": ("OpenAI", "OpenAI's models."),
    "openai_compatible": ("OpenAI-compatible", "Any API that speaks as OpenAI's does."),
    "openrouter": ("OpenRouter", "Models of many makers behind one key."),
    "together": ("Together AI", "Open models."),
    "vertex": ("Google Vertex AI", "Google's models, and Claude, in Google Cloud."),
    "vllm": ("vLLM", "Open models on a server of your own."),
    "watsonx": ("IBM watsonx.ai", "IBM's and open models in IBM Cloud."),
    "xai": ("xAI", "Grok models."),
}
_SERVICES = {"chat": "llm", "embeddings": "embedding", "rerank": "reranking", "speech": "speech", "images": "vision"}


def system_templates(dialects: Mapping[str, Dialect]) -> list[Resource]:
    """One for each type that is spoken, those of plugins too."""
    kinds = {kind.name: kind for name in dialects if (kind := provider_type(name, dialects)) is not None}
    return [_template(kinds[name], dialects[name]) for name in sorted(kinds) if name in dialects]


def _template(kind: ProviderType, dialect: Dialect) -> Resource:
    name, description = _NAMES.get(kind.name, (kind.name, f"A provider of type {kind.name}."))
    return Resource(
        kind=Kind.TEMPLATE,
        id=PREFIX + kind.name.replace("_", "-"),
        name=kind.name.replace("_", "-"),
        settings={
            "provider": {
                "type": kind.name,
                "base_url": "{{base_url}}",
                "auth_method": _method(kind),
                "service_types": _services(dialect),
                "options": {
                    own.name: f"{{{{{own.name}}}}}" for own in kind.own if _is_option(own.name, secret=own.secret)
                },
            },
            "models": [],
            "credential": {"fields": {name: f"{{{{{name}}}}}" for name in _secrets(kind)}},
            "parameters": list(_parameters(kind)),
        },
        details={"name": name, "description": description},
        version=0,
        created_at=0.0,
        created_by="system",
        updated_at=0.0,
        updated_by="system",
    )


def _parameters(kind: ProviderType) -> Iterable[dict[str, Any]]:
    alone = {group[0] for choice in kind.needs if len(choice) == 1 for group in choice if len(group) == 1}
    address = "Where it is, version segment included."
    usual = kind.base_url if kind.base_url and "{" not in kind.base_url else None
    yield _parameter("base_url", f"{address} Usually {usual}." if usual else address, required=kind.base_url is None)
    for own in kind.own:
        if _is_option(own.name, secret=own.secret):
            yield _parameter(own.name, own.description, required=own.name in alone)
    for name in _secrets(kind):
        described = next((own.description for own in kind.own if own.name == name), "The API key.")
        yield _parameter(name, described, secret=True)


def _parameter(name: str, description: str, *, required: bool = False, secret: bool = False) -> dict[str, Any]:
    return {"name": name, "description": description, "required": required, "secret": secret}


def _is_option(name: str, *, secret: bool) -> bool:
    return not secret and name not in _ELSEWHERE


def _secrets(kind: ProviderType) -> list[str]:
    own = [one.name for one in kind.own if one.secret]
    return ["api_key", *own] if kind.takes_key else own


def _method(kind: ProviderType) -> str:
    names = {own.name for own in kind.own}
    if "secret_access_key" in names:
        return "aws_iam"
    return "api_key" if kind.takes_key else "oauth2" if "access_token" in names else "custom"


def _services(dialect: Dialect) -> list[str]:
    found = [_SERVICES[service.value] for service in dialect.services if service.value in _SERVICES]
    return sorted(dict.fromkeys(found))
