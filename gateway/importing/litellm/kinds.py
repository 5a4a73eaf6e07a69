"""LiteLLM's providers and ours, as one table: a prefix of a model's name, our type, where its settings come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """What a prefix means here. `own` maps LiteLLM's parameters to settings of the type; `env` names the variables that
    LiteLLM takes when a parameter is missing, by our setting."""

    type: str
    env: Mapping[str, str]
    base_url: str | None = None
    """Where it is, for providers that are no type of their own."""
    own: Mapping[str, str] | None = None
    secrets: frozenset[str] = frozenset()
    """Those of our settings that are credentials, beside `api_key`."""
    path: str = ""
    """What LiteLLM adds to an address of such a provider, and ours has to hold."""
    ending: str = "/chat/completions"
    """What LiteLLM lets stand at the end of such an address, and ours must not hold."""

    def based(self, address: str) -> str:
        """The address that our provider has where LiteLLM has this one."""
        base = address.rstrip("/").removesuffix(self.ending)
        return base if base.endswith(self.path) else base + self.path


def _keyed(kind: str, variable: str) -> Kind:
    return Kind(kind, {"api_key": variable})


def _like_openai(variable: str, base_url: str) -> Kind:
    return Kind("openai_compatible", {"api_key": variable}, base_url)


_OPENAI = Kind("openai", {"api_key": "OPENAI_API_KEY"}, own={"organization": "org_id"})
_AZURE = Kind(
    "azure",
    {"api_key": "AZURE_API_KEY", "base_url": "AZURE_API_BASE"},
    own={
        "api_version": "api_version", "tenant_id": "tenant_id", "client_id": "client_id",
        "client_secret": "client_secret",
    },
    secrets=frozenset({"client_secret"}),
)  # fmt: skip
_VERTEX = Kind(
    "vertex",
    {
        "project": "VERTEXAI_PROJECT", "location": "VERTEXAI_LOCATION",
        "credentials_file": "GOOGLE_APPLICATION_CREDENTIALS",
    },
    own={"vertex_project": "project", "vertex_location": "location"},
)  # fmt: skip
_BEDROCK = Kind(
    "bedrock",
    {
        "region": "AWS_REGION_NAME", "access_key_id": "AWS_ACCESS_KEY_ID", "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    },
    own={
        "aws_region_name": "region", "aws_access_key_id": "access_key_id", "aws_session_token": "session_token",
        "aws_secret_access_key": "secret_access_key", "aws_bedrock_runtime_endpoint": "base_url",
    },
    secrets=frozenset({"access_key_id", "secret_access_key", "session_token"}),
)  # fmt: skip
_WATSONX = Kind(
    "watsonx",
    {"api_key": "WATSONX_APIKEY", "api_url": "WATSONX_URL", "project_id": "WATSONX_PROJECT_ID"},
    own={"api_base": "api_url", "project_id": "project_id", "space_id": "space_id"},
)
_OLLAMA, _VLLM = Kind("ollama", {}), Kind("vllm", {"base_url": "HOSTED_VLLM_API_BASE"})
_COHERE, _CUSTOM = _keyed("cohere", "COHERE_API_KEY"), Kind("openai_compatible", {})

KINDS: Mapping[str, Kind] = {
    "openai": _OPENAI,
    "text-completion-openai": _OPENAI,
    "azure": _AZURE,
    "azure_text": _AZURE,
    "azure_ai": Kind("openai_compatible", {"api_key": "AZURE_AI_API_KEY", "base_url": "AZURE_AI_API_BASE"}),
    "anthropic": Kind("anthropic", {"api_key": "ANTHROPIC_API_KEY"}, path="/v1", ending="/v1/messages"),
    "gemini": _keyed("gemini", "GEMINI_API_KEY"),
    "vertex_ai": _VERTEX,
    "vertex_ai_beta": _VERTEX,
    "bedrock": _BEDROCK,
    "bedrock_converse": _BEDROCK,
    "cohere": _COHERE,
    "cohere_chat": _COHERE,
    "watsonx": _WATSONX,
    "watsonx_text": _WATSONX,
    "mistral": _keyed("mistral", "MISTRAL_API_KEY"),
    "groq": _keyed("groq", "GROQ_API_KEY"),
    "deepseek": _keyed("deepseek", "DEEPSEEK_API_KEY"),
    "xai": _keyed("xai", "XAI_API_KEY"),
    "together_ai": _keyed("together", "TOGETHERAI_API_KEY"),
    "openrouter": _keyed("openrouter", "OPENROUTER_API_KEY"),
    "huggingface": _keyed("huggingface", "HUGGINGFACE_API_KEY"),
    "meta_llama": _keyed("meta", "LLAMA_API_KEY"),
    "ollama": _OLLAMA,
    "ollama_chat": _OLLAMA,
    "hosted_vllm": _VLLM,
    "vllm": _VLLM,
    "custom_openai": _CUSTOM,
    "openai_like": _CUSTOM,
    "litellm_proxy": Kind(
        "openai_compatible", {"api_key": "LITELLM_PROXY_API_KEY", "base_url": "LITELLM_PROXY_API_BASE"}
    ),
    "lm_studio": Kind("openai_compatible", {"base_url": "LM_STUDIO_API_BASE"}),
    "fireworks_ai": _like_openai("FIREWORKS_API_KEY", "https://api.fireworks.ai/inference/v1"),
    "perplexity": _like_openai("PERPLEXITYAI_API_KEY", "https://api.perplexity.ai"),
    "deepinfra": _like_openai("DEEPINFRA_API_KEY", "https://api.deepinfra.com/v1/openai"),
    "cerebras": _like_openai("CEREBRAS_API_KEY", "https://api.cerebras.ai/v1"),
    "sambanova": _like_openai("SAMBANOVA_API_KEY", "https://api.sambanova.ai/v1"),
    "nvidia_nim": _like_openai("NVIDIA_NIM_API_KEY", "https://integrate.api.nvidia.com/v1"),
    "moonshot": _like_openai("MOONSHOT_API_KEY", "https://api.moonshot.ai/v1"),
    "dashscope": _like_openai("DASHSCOPE_API_KEY", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
}

_BARE = (
    (re.compile(r"(gpt-|chatgpt-|o[1-9]\b|text-embedding-|dall-e|whisper-|tts-|omni-moderation)"), "openai"),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"gemini-"), "vertex_ai"),
    (re.compile(r"(command-|embed-(english|multilingual)|rerank-)"), "cohere"),
    (re.compile(r"(mistral|codestral|ministral|open-mixtral)"), "mistral"),
    (re.compile(r"deepseek-"), "deepseek"),
    (re.compile(r"(anthropic|amazon|meta|cohere|mistral|ai21)\.[a-z0-9-]"), "bedrock"),
)  # fmt: skip
"""What LiteLLM makes of a model's name without a prefix."""


def kind_of(model: str, declared: str | None) -> tuple[str, str] | None:
    """The prefix and the model's own name; None when nobody here knows the provider."""
    if declared is not None:
        return (declared, model.removeprefix(f"{declared}/")) if declared in KINDS else None
    prefix, slash, rest = model.partition("/")
    if slash and rest and prefix in KINDS:
        return prefix, rest
    found = next((name for pattern, name in _BARE if pattern.match(model)), None)
    return None if found is None else (found, model)
