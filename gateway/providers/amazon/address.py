"""Where Bedrock's APIs are, and how requests to them are signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from urllib.parse import quote

from gateway.ports import RequestHead
from gateway.providers.amazon.sigv4 import Keys, Scope, Target, signed
from gateway.providers.converse.models import is_openai
from gateway.types import Deployment, Headers, Provider

OPENAI_PATH = "/openai/v1"
_OURS = b"x-amz-"
_MANTLE = "bedrock-mantle"
"""A host that begins so is a service of its own."""


def model_path(model: str, method: str) -> str:
    """The path of a model, which may be an ARN: its slashes and colons are encoded."""
    return f"/model/{quote(model, safe='')}/{method}"


def speaks_openai(deployment: Deployment) -> bool:
    """Whether a model is asked by Bedrock's OpenAI-compatible API: those that match `openai_models`, without one
    OpenAI's own."""
    patterns = deployment.provider.options.get("openai_models")
    model = deployment.model
    if patterns is None:
        return is_openai(model)
    return any(fnmatchcase(model, pattern) for pattern in patterns)


def at_openai(deployment: Deployment) -> Deployment:
    """The same with the address of that API in place of its provider's."""
    provider = deployment.provider
    address = provider.options.get("openai_base_url") or provider.base_url.rstrip("/") + OPENAI_PATH
    return replace(deployment, provider=replace(provider, base_url=str(address)))


def signature(head: RequestHead, body: Sequence[bytes], provider: Provider, now: float) -> Headers:
    """The headers that sign a request; none for a provider that uses an API key."""
    options = provider.options
    if provider.api_keys or not options.get("access_key_id"):
        return ()
    keys = Keys(options["access_key_id"], options["secret_access_key"], options.get("session_token"))
    service = _MANTLE if head.endpoint.host.startswith(_MANTLE) else "bedrock"
    path, _, query = head.target.decode().partition("?")
    own = tuple(
        (name.decode(), value.decode("latin-1"))
        for name, value in head.headers
        if name == b"host" or name.startswith(_OURS)
    )
    target = Target(head.method.decode(), path, query, own)
    return signed(target, body, keys, Scope(str(options.get("region", "")), service), now)
