"""What is known of a call's tier of service, and so of its price, before it is sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.providers import discover
from gateway.types import Call, Deployment, Price, Provider, Service
from gateway.upstream.foresight import Foresight

FORESIGHT = Foresight(discover())
BOTH = Price(2.0, 8.0, service_tiers={"flex": Price(1.0, 4.0), "priority": Price(4.0, 16.0)})
EVERY = {"flex", "priority"}


def asked(raw: bytes, path: str = "/chat/completions") -> Call:
    service = {"/responses": Service.RESPONSES, "/embeddings": Service.EMBEDDINGS}.get(path, Service.CHAT)
    return Call("c", "r", service, path, "m", raw, 0.0)


def at(kind: str, **parameters: Any) -> Deployment:
    return Deployment("p/m", Provider("p", kind, "https://provider.invalid/v1"), "m", parameters=parameters)


def named(tier: object) -> bytes:
    return msgspec.json.encode({"model": "m", "messages": [{"service_tier": "priority"}], "service_tier": tier})


@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
@pytest.mark.parametrize(
    ("tier", "reachable", "quoted"),
    [
        ("default", set(), ""),
        ("standard", set(), ""),
        ("flex", {"flex"}, "flex"),
        ("priority", {"priority"}, "priority"),
        ("auto", EVERY, ""),
        ("PRIORITY", EVERY, ""),
        ("fast", EVERY, ""),
        (None, EVERY, ""),
        (7, EVERY, ""),
    ],
)
def test_what_a_request_names(path: str, tier: object, reachable: set[str], quoted: str) -> None:
    """Whoever names a tier is served at it or at the ordinary one; everything else leaves it to the provider."""
    call = asked(named(tier), path)
    assert set(FORESIGHT.tiers(call, at("openai"), BOTH)) == reachable
    assert FORESIGHT.tier(call, at("openai"), BOTH) == quoted


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"m"}',
        b'{"model":"m","metadata":{"service_tier":"flex"}}',
        b'{"model":"m","service_tier":"flex","service_tier":"priority"}',
        b'{"model":"m","service_tier":"flex","Service_Tier":"priority"}',
        b'{"model":"m","Service_Tier":"flex"}',
        b"{" + b",".join(b'"%d":1' % number for number in range(10_002)) + b',"service_tier":"flex"}',
        b"",
    ],
)
def test_what_names_none_for_certain(raw: bytes) -> None:
    """Readers differ in which of two members they take, and in whether case counts."""
    assert set(FORESIGHT.tiers(asked(raw), at("openai"), BOTH)) == EVERY


def test_escapes_are_read() -> None:
    """A name is a name however it is written."""
    raw = b'{"model":"m","service\\u005ftier":"flex"}'
    assert set(FORESIGHT.tiers(asked(raw), at("openai"), BOTH)) == {"flex"}


def test_defaults_of_a_deployment() -> None:
    """They count where the request names none, be it null."""
    assert set(FORESIGHT.tiers(asked(b'{"model":"m"}'), at("openai", service_tier="flex"), BOTH)) == {"flex"}
    assert set(FORESIGHT.tiers(asked(named("default")), at("openai", service_tier="flex"), BOTH)) == set()
    assert set(FORESIGHT.tiers(asked(named(None)), at("openai", service_tier="flex"), BOTH)) == EVERY


@pytest.mark.parametrize(
    ("kind", "path", "reachable"),
    [
        ("azure", "/chat/completions", {"flex"}),
        ("mistral", "/chat/completions", {"flex"}),
        ("bedrock", "/chat/completions", {"flex"}),
        ("anthropic", "/messages", {"flex"}),
        ("anthropic", "/chat/completions", EVERY),
        ("gemini", "/chat/completions", EVERY),
        ("openai", "/messages", EVERY),
        ("mistral", "/responses", EVERY),
        ("nobody", "/chat/completions", EVERY),
    ],
)
def test_who_reads_it(kind: str, path: str, reachable: set[str]) -> None:
    """A word that does not reach the provider, or by bridges alone, binds it to nothing."""
    assert set(FORESIGHT.tiers(asked(named("flex"), path), at(kind), BOTH)) == reachable


def test_without_prices_of_tiers_nothing_is_looked_at() -> None:
    """The request is not read, be it no JSON."""
    assert FORESIGHT.tiers(asked(b"\xff"), at("openai"), Price(2.0, 8.0)) == ()
    assert FORESIGHT.tier(asked(b"\xff"), at("openai"), Price(2.0, 8.0)) == ""


def test_a_named_tier_without_a_price_costs_what_all_do() -> None:
    """`flex` is never dearer; of a tier that nobody priced nothing is known."""
    dear = Price(2.0, 8.0, service_tiers={"priority": Price(4.0, 16.0)})
    assert FORESIGHT.tiers(asked(named("flex")), at("openai"), dear) == ()
    assert set(FORESIGHT.tiers(asked(named("scale")), at("openai"), dear)) == {"priority"}
