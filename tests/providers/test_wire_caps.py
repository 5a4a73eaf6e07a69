"""Calls that are cut off by us: the member their provider knows, once, and no way around it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import InvalidRequest
from gateway.http.parse import decode_completion_fields
from gateway.providers import discover
from gateway.providers.wire.jsonscan import model_spans
from gateway.types import Call, Deployment, Provider, Service

MESSAGES: list[Any] = [{"role": "user", "content": 'a "max_tokens": null in a prompt, and \n a line'}]


def sent(
    body: dict[str, Any] | bytes,
    cap: int | None,
    service: Service = Service.CHAT,
    kind: str = "openai_compatible",
    **defaults: Any,
) -> bytes:
    """The body as the provider gets it."""
    raw = body if isinstance(body, bytes) else json.dumps({"model": "asked", **body}).encode()
    spans = model_spans(raw)
    call = Call("c", "r", service, "/x", "asked", raw, 0.0, output_cap=cap, model_span=spans[0] if spans else None)
    deployment = Deployment("p/theirs", Provider("p", kind, "http://127.0.0.1:1/v1"), "theirs", parameters=defaults)
    parts = discover()[kind].body(call, deployment)
    assert isinstance(parts, list)
    return b"".join(parts)


def members(raw: bytes) -> list[tuple[str, Any]]:
    """The members of an object, duplicates included."""
    found: list[tuple[str, Any]] = json.loads(raw, object_pairs_hook=lambda pairs: pairs)
    return found


@pytest.mark.parametrize(
    ("service", "kind", "name"),
    [
        (Service.CHAT, "openai", "max_completion_tokens"),
        (Service.CHAT, "openai_compatible", "max_tokens"),
        (Service.CHAT, "together", "max_tokens"),
        (Service.CHAT, "mock", "max_tokens"),
        (Service.COMPLETIONS, "openai", "max_tokens"),
        (Service.COMPLETIONS, "vllm", "max_tokens"),
        (Service.RESPONSES, "openai", "max_output_tokens"),
        (Service.RESPONSES, "mock", "max_output_tokens"),
    ],
)
def test_each_service_has_its_member(service: Service, kind: str, name: str) -> None:
    """The cap stands where this provider looks for it, once; everything else is as the caller wrote it."""
    body = {"messages": MESSAGES, "prompt": "x", "x": {"max_tokens": None}}
    raw = sent(body, 77, service, kind)
    assert sorted(members(raw)) == sorted([("model", "theirs"), *members(json.dumps(body).encode()), (name, 77)])
    # In place of a null, too.
    raw = sent({**body, name: None}, 77, service, kind)
    assert [value for key, value in members(raw) if key == name] == [77]
    assert len(members(raw)) == len(body) + 2


def test_without_a_cap_nothing_is_touched() -> None:
    """Bodies of calls that nobody cuts off keep their bytes, nulls of such members among them."""
    raw = b'{ "model":"theirs" , "max_tokens" :null,"messages":[ ]}'
    assert sent(raw, None) == raw
    assert sent(raw, 5) == raw.replace(b":null", b":5")
    assert sent(b"{}", 5, kind="openai") == b'{"model":"theirs","max_completion_tokens":5}'


@pytest.mark.parametrize("service", [Service.EMBEDDINGS, Service.MODERATIONS, Service.IMAGES, Service.RERANK])
def test_other_services_have_no_such_member(service: Service) -> None:
    """What generates no text is not cut off."""
    assert members(sent({"input": "x"}, 5, service)) == [("model", "theirs"), ("input", "x")]


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ({"max_tokens": 8000}, {"max_tokens": 100}),
        ({"max_tokens": 20}, {"max_tokens": 20}),
        ({"max_completion_tokens": 8000}, {"max_completion_tokens": 100}),
        ({"max_completion_tokens": 20, "max_tokens": 30}, {"max_completion_tokens": 20}),
        ({"max_tokens": "many"}, {"max_completion_tokens": 100}),
        ({"max_tokens": -1}, {"max_completion_tokens": 100}),
        ({"max_tokens": None}, {"max_completion_tokens": 100}),
        ({"max_tokens": True}, {"max_completion_tokens": 100}),
    ],
)
@pytest.mark.parametrize("given", [{}, {"max_tokens": None}, {"max_completion_tokens": None}, {"seed": 1}])
def test_defaults_of_a_deployment_are_bounded(
    defaults: dict[str, Any], expected: dict[str, int], given: dict[str, Any]
) -> None:
    """A default that is larger than the cap becomes the cap, a smaller one stays; never are there two."""
    found = members(sent(given, 100, kind="openai", **defaults, temperature=0.5))
    assert [(key, value) for key, value in found if key.startswith("max_") and value is not None] == [*expected.items()]
    assert ("temperature", 0.5) in found
    assert len({key for key, _ in found}) == len(found)


@pytest.mark.parametrize(
    "text",
    [
        b'{"model":"m","max_tokens":9999,"max_tokens":null}',
        b'{"model":"m","MAX_TOKENS":9999}',
        b'{"model":"m","Max_Completion_Tokens":9999}',
        b'{"model":"m","max\\u005ftokens":null}',
        b'{"model":"m","max\\u005Ftokens":null,"max_tokens":null}',
        b'{"model":"m","m\\u0041x_tokens":9999}',
    ],
)
@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_no_spelling_gets_around_the_cap(text: bytes, kind: str) -> None:
    """Whichever of several members a provider takes, and whether it heeds case or not: none says more than the cap. Of
    one that is known not to heed it, other spellings are refused."""
    if kind == "ollama" and any(key != key.lower() for key, _ in members(text)):
        with pytest.raises(InvalidRequest, match="does not tell them apart"):
            sent(text, 5, kind=kind)
        return
    found = [(key.lower(), value) for key, value in members(sent(text, 5, kind=kind)) if key.lower().startswith("max")]
    own = "max_completion_tokens" if kind == "openai" else "max_tokens"
    assert (own, 5) in found
    assert {value for _, value in found} <= {5, None}
    assert [value for key, value in found if key == own][-1] == 5


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"n": 2, "best_of": 5}, 5),
        ({"prompt": "one"}, 1),
        ({"prompt": ["one", "two"], "n": 2}, 4),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]], "best_of": 3}, 6),
        ({"prompt": []}, 1),
        ({"prompt": None, "best_of": None, "n": None}, 1),
    ],
)
def test_completions_are_as_many_as_are_made(body: dict[str, Any], answers: int) -> None:
    """A list of prompts has answers to each, and `best_of` are charged for though fewer come back."""
    assert decode_completion_fields(json.dumps(body).encode()).answers == answers
