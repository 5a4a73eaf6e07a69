"""A request of the Messages API, decoded once. Unknown fields are left alone: clients send those of betas.

What is handed on as it came stays `msgspec.Raw`: JSON that is copied, not rebuilt.
"""

from __future__ import annotations

from typing import Any

import msgspec

_NOTHING = msgspec.Raw()


class Source(msgspec.Struct, gc=False):
    """Where the bytes of a picture or a document are; `type` says which of the fields is meant."""

    type: str = ""
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: str | list[Block] | None = None


class Block(msgspec.Struct, gc=False):
    """One block of content; `type` says which of the fields is meant."""

    type: str
    text: str = ""
    source: Source | str | None = None
    title: str | None = None
    context: str | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = _NOTHING
    """A JSON object as it came."""
    tool_use_id: str = ""
    content: str | list[Block] | dict[str, Any] | None = None
    is_error: bool | None = None
    tool_name: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    cache_control: dict[str, Any] | None = None

    @property
    def blocks(self) -> list[Block]:
        """The content of a block that holds blocks; text is one."""
        return blocks_of(self.content) if not isinstance(self.content, dict) else []


class Turn(msgspec.Struct, gc=False):
    """What one side said."""

    role: str
    content: str | list[Block]

    @property
    def blocks(self) -> list[Block]:
        """The content as blocks; empty text is none."""
        return blocks_of(self.content)


class Tool(msgspec.Struct, gc=False):
    """What the model may call. Without a `type`, or with `custom`, it is the client's own."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = _NOTHING
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class ToolChoice(msgspec.Struct, gc=False):
    type: str
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class Format(msgspec.Struct, gc=False):
    type: str
    schema: msgspec.Raw = _NOTHING


class OutputConfig(msgspec.Struct, gc=False):
    effort: str | None = None
    format: Format | None = None


class Thinking(msgspec.Struct, gc=False):
    type: str
    budget_tokens: int | None = None


class Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


class MessagesRequest(msgspec.Struct, gc=False):
    """The whole request. `model` and `stream` are not here: they are the call's."""

    messages: list[Turn] = []
    max_tokens: int | None = None
    system: str | list[Block] | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    """Where `output_config.format` was while it was a beta."""
    metadata: Metadata | None = None
    container: Any = None
    mcp_servers: list[Any] | None = None
    top_k: int | None = None

    @property
    def format(self) -> Format | None:
        """The shape that the answer must have."""
        told = self.output_config.format if self.output_config is not None else None
        return told or self.output_format


def blocks_of(content: str | list[Block] | None) -> list[Block]:
    """Content as blocks; empty text is none."""
    if isinstance(content, str):
        return [Block("text", content)] if content else []
    return [block for block in content or () if block.type != "text" or block.text]


_REQUEST = msgspec.json.Decoder(MessagesRequest)


def decode(raw: bytes) -> MessagesRequest:
    """Raises what msgspec raises."""
    return _REQUEST.decode(raw)
