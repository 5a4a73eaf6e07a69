"""Vertex AI: addresses, accounts of Google Cloud and what their tokens cost, embeddings, Claude."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.errors import (
    ProviderAuthFailed,
    UnsupportedParameter,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamServerError,
)
from gateway.ports import TokenDialect, TokenRequest
from gateway.providers.vertex import DIALECT
from gateway.types import Call, Deployment, Provider, Service

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NOW = 1_800_000_000.0
PLACE = "/v1beta1/projects/mine/locations/europe-west4"
CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}


def provider(**options: Any) -> Provider:
    options = {"project": "mine", "location": "europe-west4", **options}
    return Provider("v", "vertex", "https://vertex.invalid/v1beta1", (), options)


def deployment(model: str, **options: Any) -> Deployment:
    return Deployment(f"v/{model}", provider(**options), model)


def call(fields: dict[str, Any], service: Service = Service.CHAT, *, stream: bool = False) -> Call:
    raw = json.dumps({"model": "asked", **fields}).encode()
    return Call("c", "r", service, "/x", "asked", raw, 0.0, stream=stream, encoding_format="float", input_tokens=3)


def body(fields: dict[str, Any], model: str, service: Service = Service.CHAT, *, stream: bool = False) -> Any:
    parts = DIALECT.body(call(fields, service, stream=stream), deployment(model))
    assert isinstance(parts, list | tuple)
    return json.loads(b"".join(parts))


# ---- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "service", "stream", "target"),
    [
        ("gemini-3-pro", Service.CHAT, False, "/publishers/google/models/gemini-3-pro:generateContent"),
        ("gemini-3-pro", Service.CHAT, True, "/publishers/google/models/gemini-3-pro:streamGenerateContent?alt=sse"),
        ("endpoints/12", Service.CHAT, False, "/endpoints/12:generateContent"),
        ("claude-a@1", Service.CHAT, False, "/publishers/anthropic/models/claude-a@1:rawPredict"),
        ("claude-a@1", Service.CHAT, True, "/publishers/anthropic/models/claude-a@1:streamRawPredict"),
        ("text-embedding-005", Service.EMBEDDINGS, False, "/publishers/google/models/text-embedding-005:predict"),
        ("gemini-embedding-001", Service.EMBEDDINGS, False, "/publishers/google/models/gemini-embedding-001:predict"),
        ("gemini-embedding-2", Service.EMBEDDINGS, False, "/publishers/google/models/gemini-embedding-2:embedContent"),
    ],
)
def test_addresses(model: str, service: Service, stream: bool, target: str) -> None:
    """Publisher and method follow from the model and the service."""
    head = DIALECT.head(call(CHAT, service, stream=stream), deployment(model), "token")
    assert head.target.decode() == PLACE + target
    assert dict(head.headers)[b"authorization"] == b"Bearer token"


# ---- accounts --------------------------------------------------------------------------------------------------------


def pem(key: Any = KEY) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def written(folder: Path, **fields: Any) -> str:
    account = {
        "type": "service_account",
        "client_email": "gateway@mine.invalid",
        "private_key": pem(),
        "private_key_id": "key-1",
        "token_uri": "https://oauth.invalid/token",
        "universe_domain": "googleapis.com",
        **fields,
    }
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    return str(path)


def asked(path: str) -> TokenRequest:
    request = DIALECT.token_request(provider(credentials_file=path), NOW)
    assert request is not None
    return request


def test_a_configured_token_is_used_as_it_is() -> None:
    """Nothing is exchanged for `access_token`, and it is the credential."""
    assert isinstance(DIALECT, TokenDialect)
    assert DIALECT.token_request(provider(access_token="given"), NOW) is None
    head = DIALECT.head(call(CHAT), deployment("gemini-3-pro", access_token="given"), None)
    assert dict(head.headers)[b"authorization"] == b"Bearer given"


def test_service_accounts(tmp_path: Path) -> None:
    """A statement signed with the account's key is posted to the address in its file."""
    request = asked(written(tmp_path))
    assert (request.head.endpoint.host, request.head.target, request.head.method) == (
        "oauth.invalid",
        b"/token",
        b"POST",
    )
    form = parse_qs(request.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    signed, _, signature = form["assertion"][0].rpartition(".")
    KEY.public_key().verify(unpacked(signature), signed.encode(), padding.PKCS1v15(), SHA256())
    head, claims = (json.loads(unpacked(part)) for part in signed.split("."))
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert claims == {
        "iss": "gateway@mine.invalid",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth.invalid/token",
        "iat": int(NOW),
        "exp": int(NOW) + 3600,
    }
    assert "PRIVATE" not in repr(request)


def unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_users(tmp_path: Path) -> None:
    """A user's file is worth a token too."""
    path = written(tmp_path, type="authorized_user", client_id="i", client_secret="s", refresh_token="r&r")
    form = parse_qs(asked(path).body.decode())
    assert form == {
        "grant_type": ["refresh_token"],
        "client_id": ["i"],
        "client_secret": ["s"],
        "refresh_token": ["r&r"],
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"private_key": "no key"},
        {"private_key": pem(ec.generate_private_key(ec.SECP256R1()))},
        {"type": "external_account"},
        {"token_uri": "nowhere"},
        {"client_email": 7},
    ],
)
def test_accounts_that_cannot_be_used(tmp_path: Path, fields: dict[str, Any]) -> None:
    """The operator's matter, and no word of the file in it."""
    with pytest.raises(ProviderAuthFailed) as refused:
        asked(written(tmp_path, **fields))
    assert "key" not in refused.value.public_message


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """No file, no JSON: no token."""
    (tmp_path / "odd.json").write_bytes(b"\xff")
    for path in (tmp_path / "none.json", tmp_path / "odd.json", tmp_path):
        with pytest.raises(ProviderAuthFailed):
            asked(str(path))


def test_tokens() -> None:
    """A token lasts as long as Google says."""
    token = DIALECT.read_token(200, b'{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}', NOW)
    assert (token.value, token.expires_at) == ("ya29.x", NOW + 3599)


@pytest.mark.parametrize(
    ("status", "answer", "wanted"),
    [
        (400, b'{"error":"invalid_grant","error_description":"Invalid JWT Signature."}', ProviderAuthFailed),
        (401, b"", ProviderAuthFailed),
        (503, b"", UpstreamServerError),
        (200, b"<html>", UpstreamBadResponse),
        (200, b"{}", UpstreamBadResponse),
    ],
)
def test_refused_tokens(status: int, answer: bytes, wanted: type[UpstreamError]) -> None:
    """A refusal is the operator's matter; anything else is a failure of Google's."""
    with pytest.raises(wanted):
        DIALECT.read_token(status, answer, NOW)


# ---- embeddings ------------------------------------------------------------------------------------------------------


def test_embeddings() -> None:
    """Older models take instances, newer ones a content."""
    fields = {"input": ["a", "b"], "dimensions": 4, "input_type": "clustering"}
    assert body(fields, "text-embedding-005", Service.EMBEDDINGS) == {
        "instances": [{"content": text, "task_type": "CLUSTERING"} for text in ("a", "b")],
        "parameters": {"outputDimensionality": 4},
    }
    assert body({"input": "a"}, "gemini-embedding-2", Service.EMBEDDINGS) == {"content": {"parts": [{"text": "a"}]}}
    sizes = {model: DIALECT.most_inputs(deployment(model)) for model in ("text-embedding-005", "gemini-embedding-001")}
    assert sizes == {"text-embedding-005": 250, "gemini-embedding-001": 1}


@pytest.mark.parametrize(
    ("model", "answer", "tokens"),
    [
        (
            "text-embedding-005",
            {"predictions": [{"embeddings": {"values": [0.5, 1], "statistics": {"token_count": 2.0}}}]},
            2,
        ),
        ("gemini-embedding-2", {"embedding": {"values": [0.5, 1]}, "usageMetadata": {"promptTokenCount": 2}}, 2),
        ("gemini-embedding-2", {"embedding": {"values": [0.5, 1]}}, 3),
    ],
)
def test_vectors(model: str, answer: dict[str, Any], tokens: int) -> None:
    """Vectors as OpenAI has them, with what was counted, or else our estimate."""
    one = call({"input": "a"}, Service.EMBEDDINGS)
    reply = DIALECT.decode(one, deployment(model), [], json.dumps(answer).encode())
    told = json.loads(reply.body)
    assert told["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}]
    assert told["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert (reply.usage is None) == (tokens == 3)


@pytest.mark.parametrize("model", ["text-embedding-005", "gemini-embedding-2"])
@pytest.mark.parametrize(
    "answer", [b"", b"{}", b"[]", b'{"error":{"code":503}}', b'{"predictions":[{}],"embedding":{}}']
)
def test_odd_vectors(model: str, answer: bytes) -> None:
    """A reply without vectors is no answer."""
    with pytest.raises(UpstreamOverloaded if b"503" in answer else UpstreamBadResponse):
        DIALECT.decode(call({"input": "a"}, Service.EMBEDDINGS), deployment(model), [], answer)


# ---- Claude ----------------------------------------------------------------------------------------------------------


def test_claude() -> None:
    """Anthropic's body with the version and without the model; its answers and errors are read as Anthropic's."""
    sent = body(CHAT, "claude-sonnet-4-6", stream=True)
    assert sent["anthropic_version"] == "vertex-2023-10-16"
    assert sent["stream"] is True
    assert "model" not in sent
    message = {"type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}
    reply = DIALECT.decode(call(CHAT), deployment("claude-sonnet-4-6"), [], json.dumps(message).encode())
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "hi"
    overloaded = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'
    assert isinstance(DIALECT.error(529, [], overloaded), UpstreamOverloaded)
    assert isinstance(
        DIALECT.error(429, [], b'[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]'), UpstreamRateLimited
    )


def test_claude_embeds_nothing() -> None:
    """Texts for a model that has no vectors are refused."""
    with pytest.raises(UnsupportedParameter):
        body({"input": "a"}, "claude-sonnet-4-6", Service.EMBEDDINGS)
