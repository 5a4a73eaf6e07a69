"""The account of a deployment: where it is, who pays, how long to wait. Equal ones are one provider."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.importing.addresses import host_of, is_private
from gateway.importing.credentials import Variables, headers, plain, reference
from gateway.importing.litellm.kinds import KINDS, Kind
from gateway.importing.litellm.reading import count, number
from gateway.registry.catalogue import TYPES
from gateway.registry.problems import shown
from gateway.registry.scalars import flag

if TYPE_CHECKING:
    from collections.abc import Mapping

READ = frozenset(
    {
        "api_key", "api_base", "base_url", "extra_headers", "headers", "timeout", "stream_timeout", "max_retries",
        "num_retries", "vertex_credentials", "drop_params",
    }
)  # fmt: skip
_AZURE_HOST = re.compile(r"([a-z0-9][a-z0-9-]*)\.openai\.azure\.com")

_KEYLESS = frozenset({"openai_compatible", "vllm", "ollama"})
_NO_KEYS = frozenset(
    {"none", "null", "empty", "dummy", "fake", "fake-key", "anything", "na", "n/a", "no-key", "not-needed", "lm-studio"}
)
"""What people write where a server wants no key."""

Tell = Callable[[str], None]


def account(
    kind: Kind, params: Mapping[str, Any], variables: Variables, prefix: str, tell: Tell, place: str
) -> dict[str, Any]:
    """A provider's settings, without its models."""
    kind, address = _address(kind, params, tell)
    settings: dict[str, Any] = {"type": kind.type}
    for theirs, ours in (kind.own or {}).items():
        if params.get(theirs) not in (None, ""):
            secret = ours in kind.secrets
            value = params[theirs]
            settings[ours] = variables.take(value, f"{prefix}_{ours}", tell, place) if secret else plain(value)
    if kind.type == "vertex":
        _vertex_credentials(settings, params, tell, place)
        for name in ("api_base", "base_url", "api_key"):
            if params.get(name):
                tell(f"`{name}` was not carried over: Vertex AI is asked at its location, by its credentials ({place})")
    elif kind.type != "watsonx":
        settings.update(address)
    given = params.get("api_key")
    if kind.type in _KEYLESS and isinstance(given, str) and given.lower() in _NO_KEYS:
        tell(f"the `api_key` at {place} is no key: left out")
        kind = replace(kind, env={name: variable for name, variable in kind.env.items() if name != "api_key"})
    elif given not in (None, "") and TYPES[kind.type].takes_key:
        settings["api_key"] = variables.take(given, f"{prefix}_api_key", tell, place)
    _from_environment(kind, settings)
    if sent := _headers(params):
        settings["headers"] = headers(sent, variables, prefix, tell, place)
    settings.update(_unsupported(params, tell, place))
    settings.update(_waiting(params, tell, place))
    return settings


def _address(kind: Kind, params: Mapping[str, Any], tell: Tell) -> tuple[Kind, dict[str, Any]]:
    """Where it is, and what kind of provider it is then: OpenAI's dialect at another address is a compatible one."""
    given = params.get("api_base") or params.get("base_url")
    if not isinstance(given, str) or not given:
        return kind, {"base_url": kind.base_url} if kind.base_url is not None else {}
    if (name := reference(given)) is not None:
        if kind.path:
            tell(
                f"the variable {name} holds an address that does not end in {kind.ending}: {kind.path} comes behind it"
            )
        return (KINDS["custom_openai"] if kind.type == "openai" else kind), {"base_url": plain(given) + kind.path}
    host = host_of(given)
    if kind.type == "azure" and (found := _AZURE_HOST.fullmatch(host)) is not None:
        return kind, {"resource": found[1]}
    address: dict[str, Any] = {"base_url": plain(kind.based(given))}
    if kind.type == "openai" and host == "api.openai.com":
        return kind, {}
    if kind.type == "openai":
        kind = Kind("openai_compatible", kind.env, own=None)
    if is_private(given) and not TYPES[kind.type].private:
        address["allow_private_network"] = True
    return kind, address


def _from_environment(kind: Kind, settings: dict[str, Any]) -> None:
    """What LiteLLM looks for in the environment when the file does not say it."""
    if kind.type == "azure" and ("resource" in settings or "tenant_id" in settings):
        needed = {} if "tenant_id" in settings else {"api_key": kind.env["api_key"]}
        if "resource" not in settings and "base_url" not in settings:
            needed["base_url"] = kind.env["base_url"]
    else:
        needed = dict(kind.env)
    for ours, variable in needed.items():
        settings.setdefault(ours, f"${{{variable}}}")


def _vertex_credentials(settings: dict[str, Any], params: Mapping[str, Any], tell: Tell, place: str) -> None:
    given = params.get("vertex_credentials")
    if given in (None, ""):
        return
    if isinstance(given, str) and (reference(given) is not None or "{" not in given):
        settings["credentials_file"] = plain(given)
    else:
        tell(f"save the credentials that stand at {place} in a file, and name it in GOOGLE_APPLICATION_CREDENTIALS")


def _headers(params: Mapping[str, Any]) -> Any:
    """Both of LiteLLM's names for them; what is no mapping as it is."""
    given = [params[name] for name in ("headers", "extra_headers") if params.get(name)]
    wrong = [one for one in given if not isinstance(one, dict)]
    return wrong[0] if wrong else {name: value for one in given for name, value in one.items()}


def _unsupported(params: Mapping[str, Any], tell: Tell, place: str) -> dict[str, Any]:
    given = params.get("drop_params")
    if given is None:
        return {}
    try:
        drops = flag(given)
    except ValueError:
        tell(f"`drop_params` was not carried over: it is neither true nor false ({place})")
        return {}
    if drops:
        tell("`drop_params`: request fields that its API cannot say are left out, not refused")
    return {"unsupported": "drop"} if drops else {}


def _waiting(params: Mapping[str, Any], tell: Tell, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    timeout = {"total": number(params.get("timeout")), "first_byte": number(params.get("stream_timeout"))}
    timeout = {name: seconds for name, seconds in timeout.items() if seconds is not None}
    if timeout:
        found["timeout"] = timeout
    retries = params.get("max_retries", params.get("num_retries"))
    if retries is not None:
        wanted = count(retries) or 0
        found["retry_attempts"] = min(wanted, 10)
        if wanted > 10:
            tell(f"{shown('max_retries')} was {wanted}: 10 is the most here ({place})")
    return found
