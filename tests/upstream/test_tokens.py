"""Tokens in place of keys: asked for once, kept, renewed early, fetched again when refused. Real sockets, both ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import parse_qs

import pytest

from gateway.errors import (
    ProviderAuthFailed,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamServerError,
    UpstreamUnreachable,
)
from gateway.health.board import Board
from gateway.ports import Engine, RequestHead, Token, TokenRequest
from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.tokens import form_request, granted
from gateway.telemetry.base import SilentObserver
from gateway.types import Call, Deployment, Headers, Plan, Provider, Service
from gateway.upstream.engines import create_engine
from gateway.upstream.forward import Forwarder, Progress
from gateway.upstream.send import Sender
from gateway.upstream.tokens import EARLY, Tokens
from tests.support.rig import COMPLETION, closed_port
from tests.support.steps import Script, Step, json_reply, sleep, status
from tests.support.upstream import ScriptedUpstream


class Exchanging(OpenAIDialect):
    """Asks for a token wherever the provider has a `secret`; signs wherever it has a `sign`."""

    def token_request(self, provider: Provider, now: float) -> TokenRequest | None:
        secret = provider.options.get("secret")
        return form_request(provider.options["tokens"], {"secret": secret}, provider) if secret else None

    def read_token(self, status: int, body: bytes, now: float) -> Token:
        return granted(status, body, now)

    def sign(self, head: RequestHead, body: Sequence[bytes], provider: Provider, now: float) -> Headers:
        return [(b"x-signed", b"%d" % len(b"".join(body)))] if provider.options.get("sign") else []


DIALECT = Exchanging("exchanging")


def grant(token: str, seconds: float = 3600) -> list[Step]:
    return json_reply({"access_token": token, "token_type": "Bearer", "expires_in": seconds})


class Clock:
    """Unix time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def engine() -> AsyncIterator[Engine]:
    made = create_engine("httptools")
    try:
        yield made
    finally:
        await made.close()


def provider(url: str, base_url: str = "http://127.0.0.1:1/v1") -> Provider:
    return Provider(
        "p", "exchanging", base_url, options={"secret": "canary-secret", "tokens": url}, allow_private_network=True
    )


async def test_asked_once_and_kept() -> None:
    """Many callers at once share one request; later ones need none until the token is about to end."""
    clock = Clock()
    async with ScriptedUpstream([sleep(0.05), *grant("one")]) as up, engine() as client:
        tokens = Tokens(lambda _: client, clock)
        own = provider(up.base_url + "/token")
        found = await asyncio.gather(*(tokens.get(DIALECT, own) for _ in range(20)))
        assert set(found) == {"one"}
        clock.now += 3600 - EARLY - 1
        assert await tokens.get(DIALECT, own) == "one"
        assert len(up.received) == 1
        (asked,) = up.received
        assert (asked.method, asked.target) == ("POST", "/token")
        assert parse_qs(asked.body.decode()) == {"secret": ["canary-secret"]}


async def test_renewed_before_its_end() -> None:
    """Close to its end a token is still given out while another is fetched beside the calls."""
    clock = Clock()
    async with ScriptedUpstream(grant("one"), grant("two")) as up, engine() as client:
        tokens = Tokens(lambda _: client, clock)
        own = provider(up.base_url)
        await tokens.get(DIALECT, own)
        clock.now += 3600 - EARLY + 1
        assert await tokens.get(DIALECT, own) == "one"
        found: list[str | None] = []
        while found[-1:] != ["two"]:
            found.append(await tokens.get(DIALECT, own))
            await asyncio.sleep(0.005)
        assert set(found) == {"one", "two"}
        assert len(up.received) == 2


async def test_renewal_that_fails_harms_nobody() -> None:
    """While the token holds, a failed renewal is tried again later; after its end callers wait for one or fail."""
    clock = Clock()
    async with ScriptedUpstream(grant("one"), status(500), status(503), grant("two")) as up, engine() as client:
        tokens = Tokens(lambda _: client, clock)
        own = provider(up.base_url)
        await tokens.get(DIALECT, own)
        clock.now += 3600 - EARLY + 1
        assert await tokens.get(DIALECT, own) == "one"
        await up.requested(2)
        assert await tokens.get(DIALECT, own) == "one"
        clock.now += EARLY
        while len(up.received) < 3:
            with pytest.raises(UpstreamError):
                await tokens.get(DIALECT, own)
        assert await tokens.get(DIALECT, own) == "two"


async def test_a_caller_that_leaves_does_not_end_it() -> None:
    """Cancelling one waiter leaves the request to the others."""
    async with ScriptedUpstream([sleep(0.1), *grant("one")]) as up, engine() as client:
        tokens = Tokens(lambda _: client)
        own = provider(up.base_url)
        first = asyncio.ensure_future(tokens.get(DIALECT, own))
        await up.requested(1)
        second = asyncio.ensure_future(tokens.get(DIALECT, own))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "one"
        assert len(up.received) == 1


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (status(401, b'{"error":"invalid_client","secret":"canary"}'), ProviderAuthFailed),
        (status(400), ProviderAuthFailed),
        (status(429), UpstreamOverloaded),
        (status(503), UpstreamOverloaded),
        (status(500), UpstreamServerError),
        (status(302), UpstreamBadResponse),
        (json_reply({"token": "x"}), UpstreamBadResponse),
        (json_reply(b"<html>"), UpstreamBadResponse),
        (json_reply({"access_token": "x", "expires_in": "soon"}), UpstreamBadResponse),
    ],
)
async def test_refusals(script: Script, error: type[UpstreamError]) -> None:
    """What the identity service refuses is an error of ours, without a word of its own; the next call asks again."""
    async with ScriptedUpstream(script, grant("one")) as up, engine() as client:
        tokens = Tokens(lambda _: client)
        own = provider(up.base_url)
        with pytest.raises(error) as raised:
            await tokens.get(DIALECT, own)
        assert "canary" not in str(raised.value)
        assert await tokens.get(DIALECT, own) == "one"


async def test_unreachable_service() -> None:
    """An identity service that is away is an unreachable upstream."""
    async with engine() as client:
        with pytest.raises(UpstreamUnreachable):
            await Tokens(lambda _: client).get(DIALECT, provider(f"http://127.0.0.1:{closed_port()}/"))


async def test_providers_with_keys_need_none() -> None:
    """A provider of the same type with a key of its own is never asked for."""
    async with engine() as client:
        tokens = Tokens(lambda _: client)
        own = Provider("p", "exchanging", "http://127.0.0.1:1/v1", ("key",))
        assert await tokens.get(DIALECT, own) is None
        assert await tokens.get(DIALECT, own) is None


@pytest.mark.parametrize(
    ("seconds", "wanted"), [(60, 60), ("90", 90), (None, 3600), (0, 3600), (-5, 3600), (1e12, 86400)]
)
def test_lives(seconds: object, wanted: float) -> None:
    """How long a token holds: as told, an hour when nothing sensible is told, a day at most."""
    body = json.dumps({"access_token": "x", "expires_in": seconds}).encode()
    assert granted(200, body, 1000.0).expires_at == 1000.0 + wanted


def test_secrets_are_not_printed() -> None:
    """Neither tokens nor requests for them show what they hold."""
    request = DIALECT.token_request(provider("http://x.invalid/"), 0.0)
    assert request is not None
    shown = repr(request) + repr(Token("canary-token", 1.0)) + repr(Tokens(create_engine))  # type: ignore[arg-type]
    assert "canary" not in shown


# ---- through the forwarder -------------------------------------------------------------------------------------------


def call() -> Call:
    raw = b'{"model":"m","messages":[]}'
    return Call("c", "r", Service.CHAT, "/chat/completions", "m", raw, time.monotonic(), model_span=(9, 12))


async def forwarded(client: Engine, own: Provider) -> tuple[Forwarder, Plan]:
    clock, observer = time.monotonic, SilentObserver()
    sender = Sender(lambda _: client, {"exchanging": DIALECT}, clock)
    forwarder = Forwarder(sender, Board(observer, clock, Random(1)), observer, clock, Random(1))
    return forwarder, Plan("r", (Deployment("p/m", own, "m"),), "rev", max_attempts=1)


async def test_refused_token_is_fetched_again_once() -> None:
    """A 401 with a token asks for another and tries once more; the client hears of the second refusal only."""
    async with (
        ScriptedUpstream(grant("one"), grant("two"), grant("three")) as service,
        ScriptedUpstream(json_reply(COMPLETION), status(401), default=json_reply(COMPLETION)) as up,
        engine() as client,
    ):
        own = provider(service.base_url, up.base_url + "/v1")
        forwarder, plan = await forwarded(client, own)
        for _ in range(3):
            answer = await forwarder.forward(call(), plan, Progress())
            assert answer.body is not None
        assert [got.header("authorization") for got in up.received] == [
            "Bearer one",
            "Bearer one",
            "Bearer two",
            "Bearer two",
        ]
        up.then(status(401), status(401))
        with pytest.raises(ProviderAuthFailed):
            await forwarder.forward(call(), plan, Progress())
        assert len(up.received) == 6
        assert len(service.received) == 3


async def test_signatures() -> None:
    """A dialect that signs sees the whole body of each request; others pay nothing."""
    async with ScriptedUpstream(default=json_reply(COMPLETION)) as up, engine() as client:
        for options, wanted in (({"sign": True}, "27"), ({}, None)):
            own = Provider("p", "exchanging", up.base_url + "/v1", ("key",), options, allow_private_network=True)
            forwarder, plan = await forwarded(client, own)
            await forwarder.forward(call(), plan, Progress())
            assert up.received[-1].header("x-signed") == wanted
            assert up.received[-1].header("authorization") == "Bearer key"
