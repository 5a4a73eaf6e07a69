"""The Vercel AI SDK's OpenAI provider, which speaks the Responses API, and openai-node: at providers that have only
chat, and at one that has both."""

from __future__ import annotations

import pytest

from .applications import Application, needs_node
from .conftest import RESPONDERS, fault

pytestmark = needs_node
SCRIPT = "responses.mjs"
ALL = ("lab", *RESPONDERS)


@pytest.mark.parametrize("provider", ALL)
def test_text(node: Application, provider: str) -> None:
    """Whole and streamed: the text, why it ended, and counts."""
    wanted = {"text": "echo: hello", "finishReason": "stop", "counted": True}
    assert node.play("generateText", model=f"{provider}/any") == wanted
    assert node.play("streamText", model=f"{provider}/any") == wanted


@pytest.mark.parametrize("provider", ALL)
def test_tools(node: Application, provider: str) -> None:
    """A loop of tools ends in an answer from their results, whole and streamed."""
    whole = node.play("tools", model=f"{provider}/any")
    assert [name for name, _ in whole["calls"]] == ["weather"]
    assert "sunny in" in whole["text"]
    streamed = node.play("streamTools", model=f"{provider}/any")
    assert "sunny in" in streamed["text"]
    assert {"tool-input-start", "tool-input-delta", "tool-call", "tool-result"} <= set(streamed["seen"])


@pytest.mark.parametrize("provider", ALL)
def test_structured_output(node: Application, provider: str) -> None:
    """An object of the caller's schema."""
    assert node.play("output", model=f"{provider}/any") == {"ok": True}


@pytest.mark.parametrize("provider", ALL)
def test_reasoning(node: Application, provider: str) -> None:
    """Reasoning arrives apart from the answer."""
    said = node.play("reasoning", model=fault("reasoning-8", provider))
    assert said["thought"].startswith("thinking about it")
    assert said["text"] == "echo: hm"


@pytest.mark.parametrize("provider", RESPONDERS)
def test_turns(node: Application, provider: str) -> None:
    """With `store: false` the SDK sends what was said; else it refers to what nobody stored, and is told so."""
    assert node.play("turns", model=f"{provider}/any", stored=False)["text"] == "echo: two"
    assert "`store: false`" in node.fail("turns", model=f"{provider}/any", stored=True)["message"]


@pytest.mark.parametrize("script", ["cut-after-2500", "end-after-5", "stall-after-5", "error-after-5"])
@pytest.mark.parametrize("provider", ALL)
def test_broken_streams(node: Application, provider: str, script: str) -> None:
    """What came before is delivered, then an error: a stream never just ends."""
    seen = node.play("broken", model=fault(f"{script}+tokens-50+pace-2ms", provider))
    assert "Type validation failed" not in seen["error"]
    assert seen["seen"] >= 1


@pytest.mark.parametrize("provider", ALL)
def test_openai_node(node: Application, provider: str) -> None:
    """openai-node's accumulator, and a conversation sent back as it came."""
    said = node.play("openai", model=f"{provider}/any")
    assert (said["name"], said["same"]) == ("weather", True)
    assert "sunny" in said["text"]
