"""Anthropic's turns as OpenAI's messages: results of tools apart and first, pictures of results behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.bridges.messages.asked import Block, Source, Turn, blocks_of
from gateway.bridges.messages.names import shortened
from gateway.bridges.messages.provider_state import THOUGHTS, extra_of, is_sealed, sealed_block
from gateway.errors import InvalidRequest
from gateway.providers.chat.losses import Losses
from gateway.providers.messages.passing import MARK

Json = dict[str, Any]

FAILED = "Error: "
"""Before the result of a tool that failed: OpenAI's API has no other word for that."""
SHOWN = "The result is shown in the next message."
_ADVICE = "Only Anthropic's own models can read it: use one of them, or leave it out of the conversation."


class Conversation:
    """The translated messages. `extensions`: see `gateway.ports.Bridge`."""

    __slots__ = ("_extensions", "_losses", "messages")

    def __init__(self, system: str | list[Block] | None, extensions: frozenset[str], losses: Losses) -> None:
        self.messages: list[Json] = []
        self._extensions = extensions
        self._losses = losses
        self._instruct(blocks_of(system), "system")

    def add(self, turn: Turn, at: str) -> None:
        """One more turn. Raises UnsupportedParameter, InvalidRequest."""
        if turn.role == "user":
            self._user(turn.blocks, at)
        elif turn.role == "assistant":
            self._assistant(turn.blocks, at)
        elif turn.role == "system":
            self._instruct(turn.blocks, at)
        else:
            raise InvalidRequest(f"Invalid role in `{at}.role`: use user or assistant.", param=f"{at}.role")

    def _instruct(self, blocks: list[Block], at: str) -> None:
        for number, block in enumerate(blocks):
            if block.type != "text":
                raise self._losses.content(f"{at}[{number}]", f"{block.type} in a system prompt")
        if not blocks:
            return
        if "cache_control" in self._extensions and any(block.cache_control for block in blocks):
            self.messages.append({"role": "system", "content": [self._text(block) for block in blocks]})
        else:
            self.messages.append({"role": "system", "content": "\n\n".join(block.text for block in blocks)})

    # -- what the user said

    def _user(self, blocks: list[Block], at: str) -> None:
        shown: list[Json] = []
        said: list[Json] = []
        for number, block in enumerate(blocks):
            place = f"{at}.content[{number}]"
            if block.type == "tool_result":
                self._result(block, place, shown)
            else:
                said += self._part(block, place)
        parts = shown + said
        if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
            self.messages.append({"role": "user", "content": parts[0]["text"]})
        elif parts:
            self.messages.append({"role": "user", "content": parts})

    def _result(self, block: Block, at: str, shown: list[Json]) -> None:
        """A message of its own; what is no text in it goes to the user's message behind, which can hold it."""
        if not block.tool_use_id:
            raise InvalidRequest("A tool result needs its `tool_use_id`.", param=f"{at}.tool_use_id")
        texts: list[str] = []
        before = len(shown)
        for number, inner in enumerate(block.blocks):
            for part in self._part(inner, f"{at}.content[{number}]"):
                if part["type"] == "text":
                    texts.append(part["text"])
                else:
                    shown.append(part)
        text = "\n".join(texts) or (SHOWN if len(shown) > before else "")
        message: Json = {
            "role": "tool",
            "tool_call_id": block.tool_use_id,
            "content": (FAILED if block.is_error else "") + text,
        }
        if block.cache_control and "cache_control" in self._extensions:
            message["cache_control"] = block.cache_control
        self.messages.append(message)

    def _part(self, block: Block, at: str) -> Iterable[Json]:
        """A block as parts of a message."""
        kind = block.type
        if kind == "text":
            return (self._text(block),)
        if kind == "image" and isinstance(block.source, Source):
            return (self._marked({"type": "image_url", "image_url": {"url": self._image(block.source, at)}}, block),)
        if kind == "document" and isinstance(block.source, Source):
            return [self._marked(part, block) for part in self._document(block, block.source, at)]
        if kind == "search_result":
            return ({"type": "text", "text": _found(block)},)
        if kind == "tool_reference":
            return ({"type": "text", "text": f"The tool `{shortened(block.tool_name)}` can be used."},)
        raise self._losses.content(at, f"a block of type `{kind}`", _ADVICE)

    def _text(self, block: Block) -> Json:
        return self._marked({"type": "text", "text": block.text}, block)

    def _marked(self, part: Json, block: Block) -> Json:
        if block.cache_control and "cache_control" in self._extensions:
            part["cache_control"] = block.cache_control
        return part

    def _image(self, source: Source, at: str) -> str:
        if source.type == "base64":
            return f"data:{source.media_type};base64,{source.data}"
        if source.type == "url" and source.url.startswith(("https://", "http://")):
            return source.url
        raise self._losses.content(f"{at}.source", f"an image by `{source.type}`", "Send it as base64 or by its URL.")

    def _document(self, block: Block, source: Source, at: str) -> Iterable[Json]:
        title = block.title or "document"
        if source.type == "base64":
            data = f"data:{source.media_type};base64,{source.data}"
            yield {"type": "file", "file": {"filename": _filename(title), "file_data": data}}
            return
        head = "\n".join(text for text in (block.title, block.context) if text)
        if source.type == "text":
            yield {"type": "text", "text": _titled(head, source.data)}
        elif source.type == "content":
            if head:
                yield {"type": "text", "text": head}
            for number, inner in enumerate(blocks_of(source.content)):
                yield from self._part(inner, f"{at}.source.content[{number}]")
        else:
            where = "its URL" if source.type == "url" else f"`{source.type}`"
            raise self._losses.content(f"{at}.source", f"a document by {where}", "Send it as base64 or as text.")

    # -- what the model said

    def _assistant(self, blocks: list[Block], at: str) -> None:
        message: Json = {"role": "assistant"}
        texts: list[str] = []
        calls: list[Json] = []
        thoughts: list[Json] = []
        unsigned = ""
        extra: Any = None
        for number, block in enumerate(blocks):
            if block.type == "text":
                texts.append(block.text)
            elif block.type == "tool_use":
                calls.append(self._called(block, extra, f"{at}.content[{number}]"))
                extra = None
            elif block.type in THOUGHTS:
                extra = extra_of(block.data) or extra
                unsigned += block.thinking if _is_unsigned(block) else ""
                thoughts += self._thought(block)
            else:
                raise self._losses.content(f"{at}.content[{number}]", f"a block of type `{block.type}`", _ADVICE)
        if thoughts:
            message["thinking_blocks"] = thoughts
        if texts or calls:
            message["content"] = "".join(texts) or None
            if calls and unsigned and "reasoning_content" in self._extensions:
                # What it goes on from; of a turn that is over nobody wants it.
                message["reasoning_content"] = unsigned
            if calls:
                message["tool_calls"] = calls
            self.messages.append(message)

    def _called(self, block: Block, extra: Any, at: str) -> Json:
        if not block.id or not block.name:
            raise InvalidRequest("A tool use needs its `id` and its `name`.", param=at)
        arguments = bytes(block.input).decode() or "{}"
        if not arguments.startswith("{"):
            raise InvalidRequest(f"`{at}.input` must be an object.", param=f"{at}.input")
        function = {"name": shortened(block.name), "arguments": arguments}
        call: Json = {"id": block.id, "type": "function", "function": function}
        if extra is not None and "extra_content" in self._extensions:
            call["extra_content"] = extra
        return call

    def _thought(self, block: Block) -> Iterable[Json]:
        """For models that want their own thinking back; for all others it is over."""
        if "thinking_blocks" not in self._extensions:
            return ()
        kept = block.data if block.type == "redacted_thinking" else block.signature
        if not kept or kept.startswith(MARK):
            sealed = sealed_block(kept)
            return () if sealed is None else (sealed,)
        if block.type == "redacted_thinking":
            return ({"type": block.type, "data": block.data},)
        return ({"type": "thinking", "thinking": block.thinking, "signature": block.signature},)


def _is_unsigned(block: Block) -> bool:
    """Reasoning that nobody signed or sealed: only its words are there to give back."""
    return block.signature.startswith(MARK) and not is_sealed(block.signature)


def _titled(head: str, text: str) -> str:
    return f"{head}\n\n{text}" if head else text


def _found(block: Block) -> str:
    """A search result in words."""
    source = block.source if isinstance(block.source, str) else ""
    head = "\n".join(text for text in (block.title, source) if text)
    return _titled(head, "\n".join(inner.text for inner in block.blocks))


def _filename(title: str) -> str:
    return title if title.lower().endswith(".pdf") else f"{title}.pdf"
