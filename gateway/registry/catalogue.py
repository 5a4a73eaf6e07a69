"""What each provider type is configured with, as one table: a new type is one entry here and its dialect's file."""

from __future__ import annotations

import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.registry import scalars

if TYPE_CHECKING:
    from collections.abc import Callable

RERANKS = ("cohere", "tei")
"""How servers of OpenAI's API may have rerank: as Cohere, Jina and vLLM do, or as Text Embeddings Inference does."""
Needs = tuple[tuple[tuple[str, ...], ...], ...]
"""All of these must hold; each is a choice between groups of settings."""


@dataclass(frozen=True, slots=True)
class Own:
    """A setting that only some types have."""

    name: str
    description: str
    parse: Callable[[Any], Any] = scalars.text
    secret: bool = False


@dataclass(frozen=True, slots=True)
class ProviderType:
    """One provider type; `base_url` may hold `{setting}` of its own settings, None means the operator must name it."""

    name: str
    base_url: str | None
    own: tuple[Own, ...] = ()
    needs: Needs = ()
    env: str | None = None
    """The variable whose presence adds this provider to the built-in default."""
    takes_key: bool = True
    default_path: str = ""
    """Added to a `base_url` without a path."""
    private: bool = False
    """Usually runs on this machine or its network, so `allow_private_network` is on unless switched off."""
    regions: tuple[tuple[str, str], ...] = ()
    """Base URLs that do not follow the template, by the value of its first setting."""
    probed: bool = True
    """It makes sense to ask it every now and then whether it is well."""
    models: tuple[str, ...] = ()
    """Served when the operator lists none."""
    together: tuple[tuple[str, ...], ...] = ()
    """Settings that make sense only all at once."""
    templates: bool = False
    """`{api_key}` in the value of a header stands for the credential."""

    def address(self, settings: Mapping[str, Any]) -> str:
        """The base URL for these settings: the operator's own, or the default filled in; `""` when neither exists."""
        own = settings.get("base_url")
        if own is not None:
            address = scalars.url(own)
            return address + self.default_path if address.count("/") == 2 else address
        names = template_fields(self.base_url)
        first = settings.get(names[0]) if names else None
        for region, address in self.regions:
            if region == first:
                return address
        return (self.base_url or "").format_map({name: str(settings.get(name, "")).rstrip("/") for name in names})


def template_fields(template: str | None) -> tuple[str, ...]:
    """The settings that a default base URL is made of."""
    return tuple(name for _, name, _, _ in string.Formatter().parse(template or "") if name)


def _deployments(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) and item for item in value.values()):
        raise ValueError("expected a mapping of model names to deployment names")
    return value


def _patterns(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError("expected a list of model names, which may hold * (such as [openai.*])")
    return tuple(value)


def _rerank(value: Any) -> str:
    if value not in RERANKS:
        raise ValueError(f"expected one of {', '.join(RERANKS)}")
    return str(value)


_KEY: Needs = ((("api_key",),),)
_ORG = Own("org_id", "Sent as OpenAI-Organization.")
_PROJECT = Own("project_id", "Sent as OpenAI-Project.")

_OAUTH = (
    Own("token_url", "Where a token is had for client_id and client_secret (OAuth 2.0).", scalars.url),
    Own("client_id", "OAuth client."),
    Own("client_secret", "Secret of the OAuth client.", scalars.credential, secret=True),
    Own("scope", "OAuth scopes, separated by spaces."),
    Own("audience", "OAuth audience, where the identity service wants one."),
)
_AZURE = (
    Own("resource", "The Azure resource: the first part of its host name.", scalars.label),
    Own("tenant_id", "Microsoft Entra tenant."),
    Own("client_id", "Microsoft Entra application."),
    Own("client_secret", "Secret of the Microsoft Entra application.", scalars.credential, secret=True),
    Own("authority", "Address of Microsoft Entra in national clouds.", scalars.url),
    Own("scope", "Scope of the token in national clouds, such as https://cognitiveservices.azure.us/.default."),
    Own("api_version", "A date switches to the dated API; without it the v1 API is used."),
    Own("deployments", "Model names to the names of their deployments.", _deployments),
)
_VERTEX = (
    Own("project", "Google Cloud project."),
    Own("location", "Google Cloud location, such as europe-west4 or global.", scalars.label),
    Own("credentials_file", "Path of a service account's JSON file."),
    Own("access_token", "An OAuth access token instead of a credentials file.", scalars.credential, secret=True),
)
_BEDROCK = (
    Own("region", "AWS region.", scalars.label),
    Own("access_key_id", "AWS access key.", scalars.credential, secret=True),
    Own("secret_access_key", "Secret of the AWS access key.", scalars.credential, secret=True),
    Own("session_token", "Token of a temporary AWS session.", scalars.credential, secret=True),
    Own("openai_models", "Models asked by Bedrock's OpenAI-compatible API; without it, OpenAI's own.", _patterns),
    Own("openai_base_url", "Where that API is; without it, /openai/v1 below the base URL.", scalars.url),
)
_WATSONX = (
    Own("api_url", "The watsonx.ai endpoint of your region.", scalars.url),
    Own("project_id", "watsonx.ai project."),
    Own("space_id", "watsonx.ai deployment space."),
    Own("iam_url", "IBM Cloud IAM endpoint.", scalars.url),
    Own("version", "API version date."),
)


def _plain(name: str, base_url: str, env: str) -> ProviderType:
    return ProviderType(name, base_url, needs=_KEY, env=env)


_TABLE = (
    ProviderType("openai", "https://api.openai.com/v1", (_ORG, _PROJECT), _KEY, "OPENAI_API_KEY"),
    ProviderType(
        "openai_compatible",
        None,
        (Own("rerank", "Whose words its rerank is asked in.", _rerank), *_OAUTH),
        together=(("token_url", "client_id", "client_secret"),),
        templates=True,
    ),
    ProviderType(
        "azure",
        "https://{resource}.openai.azure.com/openai/v1",
        _AZURE,
        ((("api_key",), ("tenant_id", "client_id", "client_secret")),),
        default_path="/openai/v1",
    ),
    ProviderType(
        "anthropic",
        "https://api.anthropic.com/v1",
        (Own("anthropic_version", "Sent as anthropic-version."),),
        _KEY,
        "ANTHROPIC_API_KEY",
    ),
    _plain("gemini", "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY"),
    ProviderType(
        "vertex",
        "https://{location}-aiplatform.googleapis.com/v1beta1",
        _VERTEX,
        ((("project",),), (("location",),), (("credentials_file",), ("access_token",))),
        takes_key=False,
        regions=(("global", "https://aiplatform.googleapis.com/v1beta1"),),
    ),
    ProviderType(
        "bedrock",
        "https://bedrock-runtime.{region}.amazonaws.com",
        _BEDROCK,
        ((("region",),), (("access_key_id", "secret_access_key"), ("api_key",))),
    ),
    ProviderType("cohere", "https://api.cohere.com/v2", needs=_KEY, env="COHERE_API_KEY", default_path="/v2"),
    ProviderType("watsonx", "{api_url}", _WATSONX, (*_KEY, (("project_id",), ("space_id",)))),
    _plain("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    _plain("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    _plain("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    _plain("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
    _plain("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    _plain("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    _plain("huggingface", "https://router.huggingface.co/v1", "HF_TOKEN"),
    _plain("meta", "https://api.meta.ai/v1", "META_API_KEY"),
    ProviderType("ollama", "http://127.0.0.1:11434/v1", default_path="/v1", private=True),
    ProviderType("vllm", None, default_path="/v1", private=True),
    ProviderType(
        "mock",
        "http://mock.invalid/v1",
        takes_key=False,
        private=True,
        probed=False,
        models=("mock-small", "mock-large", "mock-embed"),
    ),
)

TYPES: Mapping[str, ProviderType] = {entry.name: entry for entry in _TABLE}
ALIASES: Mapping[str, str] = {"custom": "openai_compatible"}


Known = Collection[str]
"""The provider types that this version speaks: their names, or their dialects by name."""
LOCAL = "http://local.invalid/v1"
"""The address of providers that are code in this process."""


def provider_type(name: Any, dialects: Known | None = None) -> ProviderType | None:
    """The entry for a `type`; a dialect that came from elsewhere says itself what it is configured with."""
    if not isinstance(name, str):
        return None
    name = ALIASES.get(name, name)
    found = TYPES.get(name)
    if found is None and dialects is not None and name in dialects:
        dialect = dialects.get(name) if isinstance(dialects, Mapping) else None
        return ProviderType(name, None) if dialect is None else _declared(name, dialect)
    return found


def _declared(name: str, dialect: Any) -> ProviderType:
    settings = getattr(dialect, "settings", ())
    required = [setting.name for setting in settings if setting.required]
    local = callable(getattr(dialect, "answer", None))
    return ProviderType(
        name,
        getattr(dialect, "base_url", None) or (LOCAL if local else None),
        tuple(Own(item.name, item.description, _kind_of(item), item.secret) for item in settings),
        tuple(((setting,),) for setting in required),
        takes_key="api_key" not in {setting.name for setting in settings},
        probed=not local,
    )


def _kind_of(setting: Any) -> Callable[[Any], Any]:
    return scalars.credential if setting.secret else scalars.text


def secret_settings(kind: ProviderType) -> frozenset[str]:
    """The settings of a type that hold credentials."""
    return frozenset({own.name for own in kind.own if own.secret} | {"api_key"})


def unmet(kind: ProviderType, settings: Mapping[str, Any]) -> str | None:
    """What a provider of this type still needs, as a sentence for operators; None when it has everything."""
    needs = kind.needs
    if "base_url" not in settings and kind.base_url is None:
        needs = ((("base_url",),), *needs)
    elif "base_url" not in settings:
        needs = (*((((name,), ("base_url",))) for name in template_fields(kind.base_url)), *needs)
    for group in kind.together:
        given = [name for name in group if settings.get(name) is not None]
        if given and len(given) < len(group):
            lacking = " and ".join(f"`{name}`" for name in group if name not in given)
            return f"{lacking} beside `{given[0]}`"
    for choice in needs:
        if not any(all(settings.get(name) is not None for name in group) for group in choice):
            return ", or ".join(" and ".join(f"`{name}`" for name in group) for group in choice)
    return None
