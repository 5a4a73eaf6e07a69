"""Azure OpenAI: addresses of both APIs, keys and Entra's tokens, deployments, refusals and waits in its words."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.errors import (
    ProviderAuthFailed,
    UpstreamBadResponse,
    UpstreamContentFiltered,
    UpstreamContextWindow,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamServerError,
)
from gateway.ports import TokenDialect
from gateway.providers.azure import DIALECT
from gateway.types import Call, Deployment, Provider, Service

V1: dict[str, Any] = {}
DATED: dict[str, Any] = {"api_version": "2024-10-21"}
APPLICATION = {"tenant_id": "t", "client_id": "c", "client_secret": "s"}
BASE = "https://r.openai.azure.com/openai/v1"
NOW = 1_800_000_000.0


def deployment(keys: tuple[str, ...] = ("k",), base_url: str = BASE, **options: Any) -> Deployment:
    return Deployment("az/gpt", Provider("az", "azure", base_url, keys, options), "gpt")


def call(path: str = "/chat/completions", service: Service = Service.CHAT) -> Call:
    return Call("c", "r", service, path, "asked", b'{"model":"asked"}', 0.0, model_span=(9, 16))


def target(to: Deployment, path: str) -> str:
    return DIALECT.head(call(path), to, "k").target.decode()


# ---- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "path", "wanted"),
    [
        (V1, "/chat/completions", "/openai/v1/chat/completions"),
        (V1, "/responses", "/openai/v1/responses"),
        ({"api_version": "v1"}, "/embeddings", "/openai/v1/embeddings"),
        ({"api_version": "preview"}, "/responses", "/openai/v1/responses?api-version=preview"),
        (DATED, "/chat/completions", "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"),
        (DATED, "/embeddings", "/openai/deployments/gpt/embeddings?api-version=2024-10-21"),
        (DATED, "/images/generations", "/openai/deployments/gpt/images/generations?api-version=2024-10-21"),
        (DATED, "/audio/transcriptions", "/openai/deployments/gpt/audio/transcriptions?api-version=2024-10-21"),
        (DATED, "/audio/speech", "/openai/deployments/gpt/audio/speech?api-version=2024-10-21"),
        ({"api_version": "2025-04-01-preview"}, "/responses", "/openai/responses?api-version=2025-04-01-preview"),
    ],
)
def test_addresses(options: dict[str, Any], path: str, wanted: str) -> None:
    """The v1 API has OpenAI's paths; a dated one has its date in the query and the deployment in most paths."""
    assert target(deployment(**options), path) == wanted


def test_foundry_models() -> None:
    """Foundry's own endpoint is dated and has no deployments in its paths."""
    to = deployment(base_url="https://r.services.ai.azure.com/models", api_version="2024-05-01-preview")
    assert target(to, "/chat/completions") == "/models/chat/completions?api-version=2024-05-01-preview"


@pytest.mark.parametrize("options", [V1, DATED])
def test_deployments(options: dict[str, Any]) -> None:
    """A model goes by the name it is deployed under, in path and body; others go by their own."""
    to = deployment(**options, deployments={"gpt": "my gpt/4", "other": "x"})
    parts = DIALECT.body(call(), to)
    assert isinstance(parts, list | tuple)
    assert json.loads(b"".join(parts)) == {"model": "my gpt/4"}
    if options:
        assert target(to, "/chat/completions").startswith("/openai/deployments/my%20gpt%2F4/chat/completions?")
    else:
        assert target(to, "/chat/completions") == "/openai/v1/chat/completions"


@pytest.mark.parametrize(
    ("options", "wanted"), [(V1, "/openai/v1/models"), (DATED, "/openai/models?api-version=2024-10-21")]
)
def test_list_of_models(options: dict[str, Any], wanted: str) -> None:
    """Both APIs have one."""
    head = DIALECT.models_head(deployment(**options).provider, "k")
    assert (head.method, head.target.decode()) == (b"GET", wanted)
    assert dict(head.headers)[b"api-key"] == b"k"


# ---- credentials -----------------------------------------------------------------------------------------------------


def test_a_key_has_its_own_header() -> None:
    """A key is no bearer token, a token is."""
    headers = dict(DIALECT.head(call(), deployment(), "k").headers)
    assert headers[b"api-key"] == b"k"
    assert b"authorization" not in headers
    headers = dict(DIALECT.head(call(), deployment((), **APPLICATION), "token").headers)
    assert headers[b"authorization"] == b"Bearer token"
    assert b"api-key" not in headers


def test_what_entra_is_asked() -> None:
    """One form with the application's secret, to the tenant's address."""
    assert isinstance(DIALECT, TokenDialect)
    request = DIALECT.token_request(deployment((), **APPLICATION).provider, NOW)
    assert request is not None
    assert (request.head.endpoint.host, request.head.endpoint.tls) == ("login.microsoftonline.com", True)
    assert (request.head.method, request.head.target) == (b"POST", b"/t/oauth2/v2.0/token")
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["c"],
        "client_secret": ["s"],
        "scope": ["https://cognitiveservices.azure.com/.default"],
    }
    assert "client_secret" not in repr(request)


def test_national_clouds() -> None:
    """They have an authority and a scope of their own."""
    cloud = {"authority": "https://login.microsoftonline.us/", "scope": "https://cognitiveservices.azure.us/.default"}
    request = DIALECT.token_request(deployment((), **APPLICATION, **cloud).provider, NOW)
    assert request is not None
    assert request.head.endpoint.host == "login.microsoftonline.us"
    assert request.head.target == b"/t/oauth2/v2.0/token"
    assert parse_qs(request.body.decode())["scope"] == ["https://cognitiveservices.azure.us/.default"]


@pytest.mark.parametrize("keys", [("k",), ()])
def test_no_token_is_asked_for(keys: tuple[str, ...]) -> None:
    """A key needs none, and half of an application's credentials are none."""
    options = APPLICATION if keys else {"tenant_id": "t", "client_id": "c"}
    assert DIALECT.token_request(deployment(keys, **options).provider, NOW) is None


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (
            401,
            {"error": "invalid_client", "error_description": "AADSTS7000215: the secret is wrong"},
            ProviderAuthFailed,
        ),
        (400, {"error": "invalid_request"}, ProviderAuthFailed),
        (429, {}, UpstreamOverloaded),
        (500, {}, UpstreamServerError),
        (200, {"token_type": "Bearer"}, UpstreamBadResponse),
    ],
)
def test_refused_tokens(status: int, body: dict[str, Any], error: type[UpstreamError]) -> None:
    """What Entra writes stays here."""
    with pytest.raises(error) as refused:
        DIALECT.read_token(status, json.dumps(body).encode(), NOW)
    assert "AADSTS" not in refused.value.public_message


def test_granted_token() -> None:
    """It holds as long as Entra says."""
    token = DIALECT.read_token(200, b'{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ"}', NOW)
    assert (token.value, token.expires_at) == ("eyJ", NOW + 3599)


# ---- refusals --------------------------------------------------------------------------------------------------------


def refused(status: int, error: dict[str, Any], *headers: tuple[bytes, bytes]) -> UpstreamError:
    return DIALECT.error(status, headers, json.dumps({"error": error}).encode())


FILTERED = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
}


@pytest.mark.parametrize(
    "error",
    [
        FILTERED,
        {"code": "contentFilter", "message": "Your task failed as a result of our safety system."},
        {"code": "ResponsibleAIPolicyViolation", "message": "No."},
        {"code": None, "message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    ],
)
def test_content_filter(error: dict[str, Any]) -> None:
    """Whichever way it says so: 400 with the code `content_filter`, and a route may have another target for it."""
    failure = refused(400, error)
    assert isinstance(failure, UpstreamContentFiltered)
    assert (failure.public_status, failure.public_code, failure.fallback_on) == (
        400,
        "content_filter",
        "content_filter",
    )
    assert failure.public_message == error["message"]


def test_pictures_keep_openais_code() -> None:
    """OpenAI has a code of its own for pictures."""
    error = {
        "code": "content_policy_violation",
        "inner_error": {"code": "ResponsibleAIPolicyViolation"},
        "message": "x",
    }
    assert refused(400, error).public_code == "content_policy_violation"


def test_a_deployment_that_is_not_there() -> None:
    """It is a model that is not there."""
    failure = refused(404, {"code": "DeploymentNotFound", "message": "The API deployment does not exist."})
    assert isinstance(failure, UpstreamRejected)
    assert (failure.public_status, failure.public_code) == (404, "model_not_found")


def test_a_bad_key_stays_here() -> None:
    """Never the client's 401, and not a word of it."""
    failure = refused(401, {"code": "401", "message": "Access denied due to invalid subscription key abc."})
    assert isinstance(failure, ProviderAuthFailed)
    assert "abc" not in failure.public_message


def test_long_prompts() -> None:
    """OpenAI's code for them."""
    message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    assert isinstance(refused(400, {"code": "context_length_exceeded", "message": message}), UpstreamContextWindow)


@pytest.mark.parametrize(
    ("message", "headers", "wait", "bare"),
    [
        ("Please retry after 26 seconds.", [], 26, False),
        ("Please retry after 1 second.", [], 1, False),
        ("Please retry after 250 milliseconds.", [], 0.25, False),
        ("Please retry after 99999 seconds.", [], 120, False),
        ("Please retry after 26 seconds.", [(b"retry-after", b"3")], 3, False),
        ("Please retry after 26 seconds.", [(b"retry-after-ms", b"1500"), (b"retry-after", b"2")], 1.5, False),
        ("Rate limit is exceeded.", [], 5, True),
    ],
)
def test_waits(message: str, headers: list[tuple[bytes, bytes]], wait: float, bare: bool) -> None:
    """The header says how long, else the text does."""
    failure = refused(429, {"code": "429", "message": message}, *headers)
    assert isinstance(failure, UpstreamRateLimited)
    assert (failure.retry_after, failure.bare) == (wait, bare)


@pytest.mark.parametrize("body", [b"", b"[", b"null", b'{"error":7}', b'{"error":{"code":[],"message":{}}}'])
@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_odd_refusals(status: int, body: bytes) -> None:
    """Anything is an error of its status."""
    assert isinstance(DIALECT.error(status, [], body), UpstreamError)
