"""Paths to endpoints: the tables of OpenAI's API and of Anthropic's, and the prefixes they are served under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from gateway.errors import MethodNotAllowed, UnknownPath
from gateway.types import Service


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of the API: what work it is, which bodies it takes."""

    service: Service
    path: str
    json: bool = True
    form: bool = False
    default_model: str | None = None
    """The model that OpenAI's API takes when the caller names none."""


RERANK = "/rerank"
ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        endpoint.path: endpoint
        for endpoint in (
            Endpoint(Service.CHAT, "/chat/completions"),
            Endpoint(Service.COMPLETIONS, "/completions"),
            Endpoint(Service.EMBEDDINGS, "/embeddings"),
            Endpoint(Service.RESPONSES, "/responses"),
            Endpoint(Service.MODERATIONS, "/moderations", default_model="omni-moderation-latest"),
            Endpoint(Service.IMAGES, "/images/generations", default_model="dall-e-2"),
            Endpoint(Service.IMAGES, "/images/edits", form=True, default_model="dall-e-2"),
            Endpoint(Service.IMAGES, "/images/variations", json=False, form=True, default_model="dall-e-2"),
            Endpoint(Service.SPEECH, "/audio/speech"),
            Endpoint(Service.TRANSCRIPTION, "/audio/transcriptions", json=False, form=True),
            Endpoint(Service.TRANSCRIPTION, "/audio/translations", json=False, form=True),
            Endpoint(Service.RERANK, RERANK),
        )
    }
)
MESSAGES = "/messages"
COUNT_TOKENS = "/messages/count_tokens"
ANTHROPIC_ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {path: Endpoint(Service.CHAT, path) for path in (MESSAGES, COUNT_TOKENS)}
)
"""Anthropic's API: below `/v1` only, and for single providers."""
MODELS = "/models"
_BELOW_RESPONSES = "/v1/responses/"
_STORED = "resp_"
"""What ids of responses begin with."""
_BESIDE_RESPONSES = frozenset({"input_tokens", "compact"})
_NOT_KEPT = (
    "Stored responses cannot be fetched, cancelled or deleted through this gateway: it keeps none, and what a provider"
    " keeps lies under an account that all callers share. Keep what `POST /v1/responses` answers, and send the"
    " conversation in `input`."
)
PREFIXES = ("/v1", "/openai/v1", "/openai")
"""The last one is Azure's dated API, for what has no deployment in its path."""
DEPLOYMENTS = "/openai/deployments/"
PROVIDERS = "/providers/"
V2 = "/v2"
"""Cohere's version of its API, of which rerank is served: nobody else's clients have a path for it."""
INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        "/v2/chat": "/v1/chat/completions",
        "/v1/chat": "/v1/chat/completions",
        "/v2/embed": "/v1/embeddings",
        "/v1/embed": "/v1/embeddings",
        "/v2/audio/transcriptions": "/v1/audio/transcriptions",
        "/v2/models": "/v1/models",
    }
)
"""What clients of Cohere's API ask for, and where it is here."""
_UNSERVED = frozenset(
    {
        *("assistants", "batches", "chat/completions", "complete", "containers", "conversations", "evals", "files"),
        *("fine_tuning", "messages/batches", "organization", "organizations", "realtime", "skills", "threads"),
        *("uploads", "vector_stores", "videos"),
    }
)
"""What OpenAI's and Anthropic's APIs have besides: what lies under a provider's account, which all callers share, and
what is no single request with its answer."""


BESIDE_ADMINISTRATION: Mapping[str, Endpoint] = MappingProxyType(
    {
        f"{mount}/providers/{word}": ENDPOINTS[path]
        for mount in ("/api/admin", "/api")
        for word, path in (("chat", "/chat/completions"), ("embeddings", "/embeddings"))
    }
)
"""Calls under the admin API's paths: the same as below `/v1` in everything, with a virtual key as there."""


class Destination(NamedTuple):
    """Where a request goes: an endpoint, or the models list (`model` names one of them)."""

    endpoint: Endpoint | None
    pinned: str | None = None
    """The provider of `/providers/{name}/v1`."""
    model: str | None = None
    """The model that the path names: an Azure deployment, or `/models/{id}`."""


_EXACT: Mapping[str, Destination] = MappingProxyType(
    {
        **{prefix + path: Destination(endpoint) for prefix in PREFIXES for path, endpoint in ENDPOINTS.items()},
        V2 + RERANK: Destination(ENDPOINTS[RERANK]),
        **{path: Destination(endpoint) for path, endpoint in BESIDE_ADMINISTRATION.items()},
        **{"/v1" + path: Destination(endpoint) for path, endpoint in ANTHROPIC_ENDPOINTS.items()},
    }
)


_STARTS = ("/v1/", "/v2/", "/openai/", PROVIDERS)


def is_api(path: str) -> bool:
    """Whether this path belongs to the API, known or not, and so gets its error shape."""
    return path.startswith(_STARTS) or path == "/v1" or path in BESIDE_ADMINISTRATION


def is_messages(path: str) -> bool:
    """Whether this path is Anthropic's, known or not."""
    if path.startswith(PROVIDERS):
        path = "/v1/" + path.partition("/v1/")[2]
    return path.startswith("/v1/messages") and path[12:13] in ("", "/")


def is_openai(path: str) -> bool:
    """Whether this path is an endpoint of OpenAI's API."""
    return path in _EXACT or path.startswith(DEPLOYMENTS)


def locate(method: str, path: str) -> Destination:
    """The destination of a request. Raises UnknownPath, MethodNotAllowed."""
    found = _EXACT.get(path) or _elsewhere(path)
    if found.endpoint is None:
        if method not in ("GET", "HEAD"):  # the latter is answered as the former, without the body
            raise MethodNotAllowed("Use GET on this path.", allow="GET, HEAD")
    elif method != "POST":
        raise MethodNotAllowed("Use POST on this path.", allow="POST")
    return found


def _elsewhere(path: str) -> Destination:
    _, below, rest = path.partition(_BELOW_RESPONSES)
    if below:
        _refuse_below_responses(rest)
    for prefix in PREFIXES:
        if path.startswith(prefix + MODELS):
            return _models(path.removeprefix(prefix + MODELS), None)
    if path.startswith(DEPLOYMENTS):
        return _azure(path.removeprefix(DEPLOYMENTS))
    if path.startswith(PROVIDERS):
        name, slash, rest = path.removeprefix(PROVIDERS).partition("/v1/")
        if slash and name and "/" not in name:
            rest = "/" + rest
            if rest.startswith(MODELS):
                return _models(rest.removeprefix(MODELS), name)
            endpoint = ENDPOINTS.get(rest) or ANTHROPIC_ENDPOINTS.get(rest)
            if endpoint is not None:
                return Destination(endpoint, pinned=name)
        name, found, rest = path.removeprefix(PROVIDERS).partition(V2 + RERANK)
        if found and name and not rest and "/" not in name:
            return Destination(ENDPOINTS[RERANK], pinned=name)
    raise UnknownPath(f"Unknown request URL: {_shown(path)}; {_advice(path)}.")


def _advice(path: str) -> str:
    """What to do about a path that nothing has."""
    if path in INSTEAD:
        return f"use {INSTEAD[path]}, OpenAI's API"
    if path.rstrip("/") in _EXACT:
        return "leave out the slash at its end"
    below = path.partition("/v1/")[2] or path.removeprefix("/openai/")
    if below.startswith("v1/"):
        return "`/v1` is there twice, the client adds it to its base URL"
    steps = below.split("/")
    if not _UNSERVED.isdisjoint((steps[0], "/".join(steps[:2]))):
        return "this gateway does not serve that part of the API"
    return "check the path against the API reference"


def _refuse_below_responses(rest: str) -> None:
    """Raises UnknownPath for what OpenAI's API has there."""
    if rest.startswith(_STORED):
        raise UnknownPath(_NOT_KEPT)
    if rest in _BESIDE_RESPONSES:
        raise UnknownPath(f"`/v1/responses/{rest}` is not served by this gateway; `POST /v1/responses` is.")


def _models(rest: str, pinned: str | None) -> Destination:
    if rest in ("", "/"):
        return Destination(None, pinned)
    if not rest.startswith("/"):
        raise UnknownPath
    return Destination(None, pinned, rest[1:])


def _azure(rest: str) -> Destination:
    """`{deployment}/chat/completions`; a deployment's name may hold slashes here, since ours do."""
    for path, endpoint in ENDPOINTS.items():
        if rest.endswith(path):
            model = rest.removesuffix(path)
            if not model:
                break
            return Destination(endpoint, model=model)
    raise UnknownPath


def _shown(path: str) -> str:
    return "".join(c for c in path[:120] if c.isprintable())
