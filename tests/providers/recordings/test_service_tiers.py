"""At which tier of service real providers said they served a call, and what is read of it."""

from __future__ import annotations

import re

import pytest

from gateway.bridges.speakers import Speakers
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service, Usage
from tests.providers.recordings.exchanges import Exchange, exchanges, present

pytestmark = present
SPEAKERS = Speakers(discover())
APIS = {
    "chat": (Service.CHAT, "/chat/completions"),
    "responses": (Service.RESPONSES, "/responses"),
    "messages": (Service.CHAT, "/messages"),
    "converse": (Service.CHAT, "/chat/completions"),
    "generateContent": (Service.CHAT, "/chat/completions"),
}
PROVIDERS = (
    *("openai", "azure", "anthropic", "bedrock", "gemini", "vertex", "groq", "mistral", "xai", "deepseek"),
    *("openrouter", "huggingface"),
)
TOLD = re.compile(rb'"(?:service_tier|serviceTier|trafficType)": ?("\w+"|null|\{"type": ?"\w+"\})')
WORDS = {"flex": "flex", "priority": "priority", "ON_DEMAND_FLEX": "flex", "ON_DEMAND_PRIORITY": "priority"}
RECORDED = {
    one.name: one
    for provider in PROVIDERS
    for api in APIS
    for one in exchanges(provider, api)
    if one.status == 200 and TOLD.search(one.body) and b'"error":{' not in one.body
}


def told_in(exchange: Exchange) -> str:
    """The last word of it that the answer has, in our terms."""
    word = re.findall(r"\w+", TOLD.findall(exchange.body)[-1].decode())[-1]
    return WORDS.get(word, "")


def read_of(exchange: Exchange) -> Usage | None:
    """The usage, as the type of this provider reads it."""
    service, path = APIS[exchange.api]
    kind = exchange.provider
    if (kind, exchange.api) == ("bedrock", "responses"):
        kind = "openai_compatible"  # by another address of Amazon's
    deployment = Deployment("p/m", Provider("p", kind, "https://provider.invalid/v1", ("k",)), "m")
    call = Call("c", "r", service, path, "asked", b"{}", 0.0, stream=exchange.stream, include_usage=True)
    dialect = SPEAKERS.of(call, deployment)
    if not exchange.stream:
        return dialect.decode(call, deployment, exchange.headers, exchange.body).usage
    decoder = dialect.stream(call, deployment)
    decoder.feed(exchange.body)
    decoder.end()
    return decoder.usage


@pytest.mark.parametrize("name", RECORDED)
def test_tiers_are_read_as_they_are_told(name: str) -> None:
    """Whole and in streams, wherever the provider says it; the ordinary tier has no name. Where nothing was counted
    there is nothing to charge for."""
    usage = read_of(RECORDED[name])
    assert usage is None or usage.service_tier == told_in(RECORDED[name])


def test_others_than_the_ordinary_are_read() -> None:
    """The recordings show tiers that have prices of their own, and hardly an answer without counts."""
    found = [usage for one in RECORDED.values() if (usage := read_of(one)) is not None]
    assert {usage.service_tier for usage in found} == {"", "flex"}
    assert len(found) > 0.95 * len(RECORDED)
