"""What a provider's stream says, in neutral words. `key` names a tool call within its choice as the provider does."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from gateway.errors import UpstreamError
from gateway.providers.chat.replies import Picture
from gateway.types import Usage


class Begin(msgspec.Struct, frozen=True, gc=False):
    """The answer has begun: the provider's own id for it. Nothing is sent to the client for this."""

    id: str = ""


class Working(msgspec.Struct, frozen=True, gc=False):
    """The model is at work on something that is not shown: the client is told that an answer has begun."""

    choice: int = 0


class Alive(msgspec.Struct, frozen=True, gc=False):
    """A sign of life between events: a comment to the client, once its answer has begun."""


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    text: str
    choice: int = 0


class RefusalDelta(msgspec.Struct, frozen=True, gc=False):
    text: str
    choice: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True, gc=False):
    text: str
    choice: int = 0


class ReasoningBlock(msgspec.Struct, frozen=True):
    """A complete block of the provider's reasoning, which it wants back unchanged in the next turn."""

    block: dict[str, Any]
    choice: int = 0


class PictureMade(msgspec.Struct, frozen=True):
    """A whole picture."""

    picture: Picture
    choice: int = 0


class Annotations(msgspec.Struct, frozen=True):
    """Sources of what was said, in OpenAI's shape (`url_citation`)."""

    annotations: list[dict[str, Any]]
    choice: int = 0


class Logprobs(msgspec.Struct, frozen=True):
    """Likelihoods of tokens that were said, as OpenAI's `logprobs` of a choice."""

    logprobs: dict[str, Any]
    choice: int = 0


class ToolCallStart(msgspec.Struct, frozen=True):
    key: int | str
    id: str
    name: str
    arguments: str = ""
    """All of them, where the provider sends them whole."""
    extra: Any = None
    """What it wants back with the call; reaches the client as `extra_content`."""
    choice: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False):
    key: int | str
    arguments: str
    choice: int = 0


class ToolCallEnd(msgspec.Struct, frozen=True, gc=False):
    """No more arguments will come; a call without any has `{}`."""

    key: int | str
    choice: int = 0


class Finish(msgspec.Struct, frozen=True, gc=False):
    """A choice is over. `reason` is OpenAI's word: stop, length, tool_calls or content_filter."""

    reason: str
    choice: int = 0


class UsageUpdate(msgspec.Struct, frozen=True, gc=False):
    """The counts so far; a later one replaces it. `whole`: they are worth charging for, should the stream end here.
    Counts told before the answer was made are not."""

    usage: Usage
    whole: bool = True


class StreamError(msgspec.Struct, frozen=True):
    """The provider failed in the middle of its answer."""

    error: UpstreamError


class Done(msgspec.Struct, frozen=True, gc=False):
    """The provider's terminal event: nothing follows."""


Event: TypeAlias = (
    Begin
    | Working
    | Alive
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ReasoningBlock
    | PictureMade
    | Annotations
    | Logprobs
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | Finish
    | UsageUpdate
    | StreamError
    | Done
)
