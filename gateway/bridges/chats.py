"""What a chat answers, as bridges read it: whole, or chunk by chunk. Only what they hand on is decoded."""

from __future__ import annotations

from typing import Any

import msgspec


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class Called(msgspec.Struct, gc=False):
    """A call of a tool, or a fragment of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: Any = None


class PictureAt(msgspec.Struct, gc=False):
    url: str = ""


class Made(msgspec.Struct, gc=False):
    """A picture that the model made."""

    image_url: PictureAt | None = None
    extra_content: Any = None

    @property
    def parts(self) -> tuple[str, str] | None:
        """Its media type and its base64; None for one that lies elsewhere."""
        url = self.image_url.url if self.image_url is not None else ""
        head, found, data = url.partition(";base64,")
        return (head.removeprefix("data:"), data) if found and head.startswith("data:") else None


class Said(msgspec.Struct, gc=False):
    """A message, or what a chunk adds to it. `reasoning` and `reasoning_content` are two names for one thing."""

    content: Any = None
    """Text; some servers send parts."""
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    thinking_blocks: list[dict[str, Any]] | None = None
    annotations: list[dict[str, Any]] | None = None
    images: list[Made] | None = None
    tool_calls: list[Called] | None = None

    @property
    def text(self) -> str:
        """What was said."""
        content = self.content
        if isinstance(content, str):
            return content
        return _joined([part for part in _parts(content) if part.get("type") == "text"])

    @property
    def thought(self) -> str:
        """What was thought, as far as it is shown."""
        if self.reasoning_content:
            return self.reasoning_content
        if self.reasoning and isinstance(self.reasoning, str):
            return self.reasoning
        thoughts = (part.get("thinking") for part in _parts(self.content) if part.get("type") == "thinking")
        return "".join(_joined(_parts(thought)) for thought in thoughts)


class Likely(msgspec.Struct, gc=False):
    content: list[dict[str, Any]] | None = None


class Choice(msgspec.Struct, gc=False):
    index: int = 0
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    logprobs: Likely | None = None
    stop_reason: Any = None
    """Of vLLM: the sequence that ended it."""


class Completion(msgspec.Struct, gc=False):
    """A whole answer, or a chunk."""

    choices: list[Choice] = []
    service_tier: str | None = None


def _joined(parts: list[dict[str, Any]]) -> str:
    return "".join(text for part in parts if isinstance(text := part.get("text"), str))


def _parts(content: Any) -> list[dict[str, Any]]:
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
