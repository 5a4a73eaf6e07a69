"""The Responses API passed through, where part of the conversation was with models of other APIs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.bridges.responses.provider_state import UNSIGNED, ProviderState, packed
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service

DIALECTS = {name: one for name, one in discover().items() if Service.RESPONSES in one.services}
KINDS = sorted(DIALECTS.keys() - {"azure", "bedrock"})
HI = {"role": "user", "content": "hi"}
CALLED = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "gateway:"}
SIGNED = packed(ProviderState([{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]))


def thought(seal: str | None) -> dict[str, Any]:
    return {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": seal}


def sent(kind: str, given: Any, **fields: Any) -> tuple[bytes, bytes]:
    """What was asked, and what this type of provider gets."""
    raw = json.dumps({"model": "asked", "input": given, **fields}).encode()
    span = raw.index(b'"asked"')
    call = Call("c", "r", Service.RESPONSES, "/responses", "asked", raw, 0.0, model_span=(span, span + 7))
    deployment = Deployment("p/m", Provider("p", kind, "https://provider.invalid/v1", ("k",)), "m")
    parts = DIALECTS[kind].body(call, deployment)
    assert isinstance(parts, list | tuple)
    return raw, b"".join(parts)


@pytest.mark.parametrize("seal", [SIGNED, UNSIGNED])
@pytest.mark.parametrize("kind", KINDS)
def test_reasoning_of_other_apis_is_left_out(kind: str, seal: str) -> None:
    """What the gateway keeps for other providers in reasoning items is not sent to who has this API: it would refuse
    the conversation, as after a failover. Its own stays."""
    own = thought("gAAAAABo")
    _, body = sent(kind, [HI, thought(seal), CALLED, RESULT, own, HI], store=False, metadata={"a": "b"})
    found = json.loads(body)
    wanted = {"model": "m", "input": [HI, CALLED, RESULT, own, HI], "store": False, "metadata": {"a": "b"}}
    assert found == wanted


@pytest.mark.parametrize(
    "given",
    ["gateway: hi", [HI, RESULT], [HI, thought(None), thought("gAAA"), 1, {"type": 1, "x": "gateway:"}, RESULT], None],
)
def test_everything_else_keeps_its_bytes(given: Any) -> None:
    """Where there is no such item nothing is touched but the model's name."""
    raw, body = sent("openai", given)
    assert body == raw.replace(b'"asked"', b'"m"')
