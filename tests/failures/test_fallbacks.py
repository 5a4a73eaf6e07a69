"""Requests that a model cannot hold, or that a filter refuses: they go where the route names a place for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.types import LedgerState
from tests.support.app import Reply
from tests.support.steps import status

from .faults import answer, error
from .rig import CONFIG, Rig, rigged

MODELS = (
    "models: {tiny: {context_window: 100}, m: {price: {input: 1, output: 2}}, "
    "large: {price: {input: 10, output: 20}}, lenient: {}}"
)
ROUTES = """
  - name: named
    match: {model: named}
    targets: [{provider: near, model: m}, {provider: again, model: m}]
    fallbacks: {context_window: large, content_filter: spare/lenient}
  - name: large
    match: {model: large}
    targets: [{provider: refused, model: large}, {provider: spare, model: large}]
    fallbacks: {content_filter: spare/lenient}
  - name: narrow
    match: {model: narrow}
    targets: [{provider: near, model: tiny}]
    fallbacks: {context_window: spare/lenient}
  - name: speechless
    match: {model: speechless}
    targets: [{provider: near, model: m}]
    fallbacks: {content_filter: claude/c}
  - name: listed
    match: {model: listed}
    targets: [{provider: near, model: m}, {provider: spare, model: m}]
    fallback_on: [context_window, content_filter]
keys:
"""
TOO_LONG = error(400, code="context_length_exceeded")
FILTERED = error(400, code="content_policy_violation")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    from . import rig as module  # noqa: PLC0415 - its configuration is changed for this module alone

    text = CONFIG.replace("{models}", MODELS.replace("{", "{{").replace("}", "}}"))
    claude = '  claude: {{type: anthropic, base_url: "{spare}/v1", api_key: none, models: [c]}}\n'
    text = text.replace("\nroutes:\n", f"\n{claude}routes:\n")
    text = text.replace("\nkeys:\n", ROUTES.replace("{", "{{").replace("}", "}}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CONFIG", text)
        with rigged(tmp_path_factory.mktemp("fallbacks")) as made:
            yield made


def went(rig: Rig, reply: Reply) -> tuple[int, str | None, str | None, str | None]:
    names = ("x-gateway-provider", "x-gateway-model", "x-gateway-attempts")
    provider, model, attempts = (reply.header(name) for name in names)
    return reply.status, provider, model, attempts


@pytest.mark.parametrize("stream", [False, True])
def test_a_named_route_takes_what_is_too_long(rig: Rig, stream: bool) -> None:
    """The route's other targets are not asked; the named one's are, in their order; the metric says why."""
    rig.near.default, rig.spare.default = TOO_LONG, answer(stream)
    before = rig.gateway.metric('gateway_fallbacks_total{from="near/m",to="refused/large",reason="context_window"}')
    reply = rig.chat("named", stream=stream)
    assert went(rig, reply) == (200, "spare", "large", "3")
    after = rig.gateway.metric('gateway_fallbacks_total{from="near/m",to="refused/large",reason="context_window"}')
    assert after == before + 1
    rows = rig.rows(reply, 3)
    assert [row.reason for row in rows] == ["context_window", "connect_refused", "ok"]
    assert [row.state for row in rows] == [LedgerState.RELEASED, LedgerState.RELEASED, LedgerState.SETTLED]
    assert rows[2].cost_nano_usd == 3 * 10_000 + (2 if stream else 4) * 20_000


@pytest.mark.parametrize("stream", [False, True])
def test_a_named_model_takes_what_is_filtered(rig: Rig, stream: bool) -> None:
    """`provider/model` is one deployment."""
    rig.near.default, rig.spare.default = FILTERED, answer(stream)
    reply = rig.chat("named", stream=stream)
    assert went(rig, reply) == (200, "spare", "lenient", "2")


def test_a_refusal_by_the_fallback_goes_on_from_there(rig: Rig) -> None:
    """Too long for one, refused by the filter of the next: nothing is tried twice, and the last refusal is told."""
    rig.near.default, rig.spare.default = TOO_LONG, FILTERED
    reply = rig.chat("named")
    assert (reply.status, reply.error["code"]) == (400, "content_policy_violation")
    assert reply.header("x-should-retry") == "false"
    assert [request.body.count(b'"lenient"') for request in rig.spare.received] == [0, 1]


def test_listed_words_lead_to_the_next_target(rig: Rig) -> None:
    """Without a named place, `fallback_on` sends such a request to the next target."""
    for script in (TOO_LONG, FILTERED):
        rig.near.default, rig.spare.default = script, answer(False)
        assert went(rig, rig.chat("listed")) == (200, "spare", "m", "2")
    rig.near.default = status(500)
    assert rig.chat("listed").status == 502, "what the route does not list stays where it is"


def test_what_is_known_to_be_too_long_goes_there_at_once(rig: Rig) -> None:
    """Where no target's declared window can hold the request, the named one is the first that is asked."""
    rig.near.default = rig.spare.default = answer(False)
    assert went(rig, rig.chat("narrow")) == (200, "near", "tiny", "1")
    long = [{"role": "user", "content": "word " * 800}]
    assert went(rig, rig.chat("narrow", messages=long)) == (200, "spare", "lenient", "1")
    assert len(rig.near.received) == 1


def test_places_that_cannot_do_this_are_no_places(rig: Rig) -> None:
    """A named deployment whose provider does not serve this kind of call is not asked: the refusal stands."""
    rig.near.default = rig.spare.default = FILTERED
    body = {"model": "speechless", "input": "x", "voice": "v"}
    reply = rig.gateway.post("/v1/audio/speech", body, [("authorization", f"Bearer {rig.secret}")])
    assert (reply.status, reply.header("x-gateway-attempts")) == (400, "1")


def test_neither_opens_a_breaker(rig: Rig) -> None:
    """A hundred long prompts say nothing of a provider's health."""
    rig.near.default, rig.spare.default = TOO_LONG, answer(False)
    for _ in range(10):
        rig.chat("named")
    assert rig.out_for("near/m") == ""
