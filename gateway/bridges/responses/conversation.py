"""Items as messages of a chat: what the model said in one turn is one message, its calls among it.

Results of tools can be text alone in a chat: what is no text in them goes to a user's message behind them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.bridges.responses.asked import Item, Part
from gateway.bridges.responses.provider_state import ProviderState, unpacked
from gateway.bridges.responses.tools import wrapped
from gateway.errors import InvalidRequest, UnsupportedParameter
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.media import kind_of

Json = dict[str, Any]

SHOWN = "The result is shown in the next message."
_INSTRUCTING = ("system", "developer")
_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
_STORED = (
    "This gateway keeps no items for this model: send the item itself. SDKs do so when they are told to store nothing"
    " (`store: false`)."
)


class Conversation:
    """The translated messages. `extensions`: see `gateway.ports.Bridge`."""

    __slots__ = ("_extensions", "_extras", "_losses", "_shown", "_thought", "_turn", "messages")

    def __init__(self, instructions: str | None, extensions: frozenset[str], losses: Losses) -> None:
        self.messages: list[Json] = []
        self._extensions = extensions
        self._losses = losses
        self._turn: Json | None = None
        """What the model says in the turn that is being read."""
        self._thought = ""
        """What it thought in that turn, in words that nobody sealed."""
        self._extras: Json = {}
        self._shown: list[Json] = []
        if instructions:
            self.messages.append({"role": "system", "content": instructions})

    def add(self, item: Item, at: str) -> None:
        """One more item. Raises UnsupportedParameter, InvalidRequest."""
        kind = item.kind
        if kind == "message":
            self._message(item, at)
        elif kind in ("function_call", "custom_tool_call"):
            self._called(item, at)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._result(item, at)
        elif kind == "reasoning":
            self._reason(item)
        elif kind == "image_generation_call" and "modalities" in self._extensions and item.result:
            self._made(item.result, self._extras.pop(item.id or "", None))
        elif kind == "item_reference":
            self._referred(item, at)
        else:
            advice = "Leave it out, or use a model whose provider has the Responses API."
            raise self._losses.content(at, f"an item of type `{kind[:64]}`", advice)

    def finish(self) -> list[Json]:
        """Every message."""
        self._show()
        return self.messages

    # -- who speaks

    def _message(self, item: Item, at: str) -> None:
        if item.role == "assistant":
            self._said(item, at)
            return
        self._end_turn()
        self._show()
        if item.role in _INSTRUCTING:
            self.messages.append({"role": "system", "content": self._text(item, at)})
        elif item.role == "user":
            self.messages.append({"role": "user", "content": self._heard(item.content, f"{at}.content")})
        else:
            raise InvalidRequest(
                f"Invalid role in `{at}.role`: use user, assistant, system or developer.", param=f"{at}.role"
            )

    def _text(self, item: Item, at: str) -> str:
        if item.content is None or isinstance(item.content, str):
            return item.content or ""
        for number, part in enumerate(item.content):
            if part.type not in _TEXTS:
                raise self._losses.content(f"{at}.content[{number}]", f"{part.type[:64]} in instructions")
        return "\n\n".join(part.text for part in item.content)

    def _heard(self, content: str | list[Part] | None, at: str) -> str | list[Json]:
        if content is None or isinstance(content, str):
            return content or ""
        parts = [self._part(part, f"{at}[{number}]") for number, part in enumerate(content)]
        return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts

    def _part(self, part: Part, at: str) -> Json:
        if part.type in _TEXTS:
            return {"type": "text", "text": part.text}
        if part.type == "input_image" and part.image_url:
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "image_url", "image_url": {"url": part.image_url, **detail}}
        if part.type == "input_audio" and part.input_audio:
            return {"type": "input_audio", "input_audio": part.input_audio}
        if part.type == "input_file" and part.file_data:
            return {"type": "file", "file": {"filename": part.filename or "file", "file_data": part.file_data}}
        if part.type in ("input_image", "input_file"):
            where = "its id" if part.file_id else "its URL"
            raise self._losses.content(at, f"{part.type} by {where}", "Send its data in the request.")
        raise self._losses.content(at, f"content of type `{part.type[:64]}`")

    # -- what the model said

    def _end_turn(self) -> None:
        self._turn = None
        self._thought = ""

    def _spoken(self) -> Json:
        """The message of the model's turn."""
        self._show()
        if self._turn is None:
            self._turn = {"role": "assistant", "content": None}
            self.messages.append(self._turn)
        return self._turn

    def _said(self, item: Item, at: str) -> None:
        if item.content is None or isinstance(item.content, str):
            text = item.content or ""
        else:
            text = "".join(self._uttered(part, f"{at}.content[{n}]") for n, part in enumerate(item.content))
        if text:
            turn = self._spoken()
            turn["content"] = (turn["content"] or "") + text

    def _uttered(self, part: Part, at: str) -> str:
        if part.type == "refusal":
            return part.refusal
        if part.type in _TEXTS:
            return part.text
        raise self._losses.content(at, f"content of type `{part.type[:64]}` in what the model said")

    def _called(self, item: Item, at: str) -> None:
        if not item.call_id or not item.name:
            raise InvalidRequest("A call needs its `call_id` and its `name`.", param=at)
        custom = item.kind == "custom_tool_call"
        function = {"name": item.name, "arguments": wrapped(item.input) if custom else item.arguments or "{}"}
        call: Json = {"id": item.call_id, "type": "function", "function": function}
        extra = self._extras.pop(item.call_id, None)
        if extra is not None:
            call["extra_content"] = extra
        turn = self._spoken()
        turn.setdefault("tool_calls", []).append(call)
        if self._thought and "reasoning_content" in self._extensions:
            # What it goes on from; of a turn without calls nobody wants it.
            turn["reasoning_content"] = turn.get("reasoning_content", "") + self._thought
        self._thought = ""

    def _made(self, data: str, extra: Any) -> None:
        """A picture, in base64."""
        url = f"data:{kind_of(data) or 'image/png'};base64,{data}"
        picture: Json = {"type": "image_url", "image_url": {"url": url}}
        if extra is not None:
            picture["extra_content"] = extra
        self._spoken().setdefault("images", []).append(picture)

    def _reason(self, item: Item) -> None:
        """For providers that want their own reasoning back; for all others it is over."""
        kept = unpacked(item.encrypted_content) if item.encrypted_content else ProviderState()
        if kept is None:
            return
        if not kept.blocks:
            self._thought += "".join(part.text for part in item.summary or ())
        if kept.extras and "extra_content" in self._extensions:
            self._extras.update(kept.extras)
        if kept.blocks and "thinking_blocks" in self._extensions:
            self._spoken().setdefault("thinking_blocks", []).extend(kept.blocks)

    def _referred(self, item: Item, at: str) -> None:
        """A reasoning item that another model stores adds nothing here; any other is missing."""
        if not (item.id or "").startswith("rs_"):
            raise UnsupportedParameter(f"`{at}` refers to an item that is stored elsewhere. {_STORED}", param=at)

    # -- what tools said

    def _result(self, item: Item, at: str) -> None:
        if not item.call_id:
            raise InvalidRequest("A result needs its `call_id`.", param=f"{at}.call_id")
        self._end_turn()
        texts, shown = [], []
        for part in self._parts(item.output, f"{at}.output"):
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                shown.append(part)
        text = "\n".join(texts) or (SHOWN if shown else "")
        self.messages.append({"role": "tool", "tool_call_id": item.call_id, "content": text})
        self._shown += shown

    def _parts(self, output: str | list[Part] | None, at: str) -> Iterable[Json]:
        if output is None or isinstance(output, str):
            return ({"type": "text", "text": output or ""},)
        return [self._part(part, f"{at}[{number}]") for number, part in enumerate(output)]

    def _show(self) -> None:
        """Pictures of results come after the last of them: results must follow their calls at once."""
        if self._shown:
            self.messages.append({"role": "user", "content": self._shown})
            self._shown = []
