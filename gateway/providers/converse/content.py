"""OpenAI's messages as Converse has them: system apart, turns that alternate, results of tools before anything else."""

from __future__ import annotations

from typing import Any

from gateway.providers.chat.arguments import arguments_of
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.media import media_of
from gateway.providers.chat.request import ChatRequest, FileData, InputAudio, Message, Part, ToolCall
from gateway.providers.converse.documents import DocumentNames, format_of
from gateway.providers.converse.models import Abilities
from gateway.providers.converse.names import id_of, name_of

Json = dict[str, Any]

IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_STORED = "s3://"
_FETCHED = ("http://", "https://")
_LIVES = {"5m": "5m", "1h": "1h", "30m": "1h", "12h": "1h"}
"""OpenAI's and Anthropic's lives of a cached prefix as Bedrock's, which end at an hour."""


class Conversation:
    """The translated messages."""

    __slots__ = ("_able", "_documents", "_losses", "_thinking", "called", "system", "thought", "turns")

    def __init__(self, chat: ChatRequest, able: Abilities, losses: Losses) -> None:
        self.system: list[Json] = []
        self.turns: list[Json] = []
        self.called: dict[str, None] = {}
        """The tools that were called, in Bedrock's names: it wants to know of each, offered now or not."""
        self.thought = True
        """Every earlier turn with tool calls has its thinking."""
        self._thinking: list[Json] = []
        """What the model thought before it says anything: no turn ends with it."""
        self._able = able
        self._losses = losses
        self._documents = DocumentNames()
        for index, message in enumerate(chat.messages):
            self._add(message, f"messages[{index}]")
        if self.system and (not self.turns or not able.instructed):
            # Instructions alone are answered by OpenAI, but here somebody has to speak.
            self._prepend([block for block in self.system if "text" in block])
            self.system = []
        if self.turns and self.turns[0]["role"] == "assistant":
            raise losses.content("messages", "an assistant message at the start", "Begin with a user message.")

    def instruct(self, words: str) -> None:
        """One more instruction of ours."""
        if self._able.instructed:
            self.system.append({"text": words})
        else:
            self._prepend([{"text": words}])

    def _add(self, message: Message, at: str) -> None:
        if message.role in ("system", "developer"):
            self.system += self._marked(self._texts(message, at), message)
        elif message.role == "assistant":
            self._append("assistant", self._marked(self._assistant(message, at), message))
        elif message.role == "tool":
            self._result(message, at)
        else:
            self._append("user", self._marked(self._blocks(message.parts, at), message))

    def _prepend(self, blocks: list[Json]) -> None:
        if self.turns and self.turns[0]["role"] == "user":
            self.turns[0]["content"][:0] = blocks
        else:
            self.turns.insert(0, {"role": "user", "content": blocks})

    def _append(self, role: str, blocks: list[Json]) -> None:
        """One more turn; what one side says in a row is one turn."""
        if role == "assistant":
            if all("reasoningContent" in block for block in blocks):
                self._thinking += blocks
                return
            blocks = self._thinking + blocks
        self._thinking = []
        if not blocks:
            return
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"] += blocks
        else:
            self.turns.append({"role": role, "content": blocks})

    def _texts(self, message: Message, at: str) -> list[Json]:
        blocks: list[Json] = []
        for number, part in enumerate(message.words):
            if part.type not in ("text", "refusal"):
                raise self._losses.content(f"{at}.content[{number}]", f"{part.type} in a {message.role} message")
            if part.text or part.refusal:
                blocks += [{"text": part.text or part.refusal}, *self._mark(part)]
        return blocks

    # -- what the model said

    def _assistant(self, message: Message, at: str) -> list[Json]:
        thoughts = _thoughts(message) if self._able.signed else []
        blocks = thoughts + self._texts(message, at)
        if message.refusal:
            blocks.append({"text": message.refusal})
        for number, call in enumerate(message.tool_calls or ()):
            blocks.append(self._call(call, f"{at}.tool_calls[{number}]"))
            self.thought = self.thought and bool(thoughts)
        return blocks

    def _call(self, call: ToolCall, at: str) -> Json:
        if call.function is None:
            raise self._losses.content(at, f"a tool call of type {call.type}")
        name = name_of(call.function.name)
        self.called[name] = None
        given = {"toolUseId": id_of(call.id), "name": name, "input": arguments_of(call.function.arguments)}
        return {"toolUse": given}

    # -- what it is told

    def _result(self, message: Message, at: str) -> None:
        """All results of a turn stand in one, before anything else that is said in it."""
        self._thinking = []
        content = self._blocks(message.parts, at, marks=False)
        given = {"toolUseId": id_of(message.tool_call_id or ""), "content": content}
        blocks = self._marked([{"toolResult": given}], message)
        if not self.turns or self.turns[-1]["role"] != "user":
            self.turns.append({"role": "user", "content": blocks})
            return
        said = self.turns[-1]["content"]
        place = next((place for place, block in enumerate(said) if "toolResult" not in block), len(said))
        said[place:place] = blocks

    def _blocks(self, parts: list[Part], at: str, *, marks: bool = True) -> list[Json]:
        blocks: list[Json] = []
        for number, part in enumerate(parts):
            if part.type != "text":
                blocks.append(self._media(part, f"{at}.content[{number}]"))
            elif part.text:
                blocks.append({"text": part.text})
            else:
                continue
            if marks:
                blocks += self._mark(part)
        return blocks

    def _media(self, part: Part, at: str) -> Json:
        if part.type == "image_url" and part.image_url is not None:
            url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
            return self._image(url, f"{at}.image_url.url")
        if part.type == "file" and part.file is not None:
            return self._document(part.file, f"{at}.file")
        if part.type == "input_audio" and part.input_audio is not None:
            return _sound(part.input_audio, f"{at}.input_audio.data")
        raise self._losses.content(at, f"a part of type `{part.type}`")

    def _image(self, url: str, at: str) -> Json:
        if url.startswith(_STORED):
            end = url.rpartition(".")[2].lower()
            known = {"jpg": "jpeg"}.get(end, end)
            return {"image": {"format": known if known in IMAGES.values() else "png", "source": _stored(url)}}
        if url.startswith(_FETCHED):
            raise self._losses.content(at, "pictures by their address", "Send a `data:` URI, or have `fetch_media` on.")
        media = media_of(url, at)
        if media.kind not in IMAGES:
            raise self._losses.content(at, f"images of type {media.kind or 'unknown'}", "Send JPEG, PNG, GIF or WebP.")
        return {"image": {"format": IMAGES[media.kind], "source": {"bytes": media.data}}}

    def _document(self, file: FileData, at: str) -> Json:
        filename = file.filename or ""
        if file.file_data is None:
            stored = file.file_id or ""
            end = (filename or stored).rpartition(".")[2].lower()
            if not stored.startswith(_STORED):
                raise self._losses.content(f"{at}.file_id", "files stored at OpenAI", "Send the file as `file_data`.")
            name = self._documents.name_of(filename or stored.rpartition("/")[2])
            return {"document": {"format": end, "name": name, "source": _stored(stored)}}
        media = media_of(file.file_data, f"{at}.file_data")
        if media.kind in IMAGES:
            return {"image": {"format": IMAGES[media.kind], "source": {"bytes": media.data}}}
        known = format_of(media, filename)
        if known is None:
            what = f"files of type {media.kind or 'unknown'}"
            raise self._losses.content(f"{at}.file_data", what, "Send PDF, text, CSV, HTML, Markdown, Word or Excel.")
        name = self._documents.name_of(filename)
        return {"document": {"format": known, "name": name, "source": {"bytes": media.data}}}

    # -- what is to be cached

    def _mark(self, part: Part) -> list[Json]:
        given = part.cache_control or part.prompt_cache_breakpoint
        return [cache_point(given)] if given and self._able.cached else []

    def _marked(self, blocks: list[Json], message: Message) -> list[Json]:
        if message.cache_control and blocks and self._able.cached and "cachePoint" not in blocks[-1]:
            return [*blocks, cache_point(message.cache_control)]
        return blocks


def cache_point(given: Any) -> Json:
    """A mark that the cache should hold everything up to here, from Anthropic's `cache_control` or OpenAI's
    `prompt_cache_breakpoint`."""
    ttl = _LIVES.get(str(given.get("ttl"))) if isinstance(given, dict) else None
    return {"cachePoint": {"type": "default", **({"ttl": ttl} if ttl else {})}}


def _stored(url: str) -> Json:
    return {"s3Location": {"uri": url}}


def _sound(audio: InputAudio, at: str) -> Json:
    return {"audio": {"format": audio.format.lower() or "wav", "source": {"bytes": media_of(audio.data, at).data}}}


def _thoughts(message: Message) -> list[Json]:
    """Reasoning that its model signed or sealed: it takes no other back."""
    found: list[Json] = []
    for block in message.thinking_blocks or ():
        if block.get("type") == "redacted_thinking" and block.get("data"):
            found.append({"reasoningContent": {"redactedContent": block["data"]}})
        elif block.get("type") == "thinking" and block.get("signature"):
            text = {"text": block.get("thinking", ""), "signature": block["signature"]}
            found.append({"reasoningContent": {"reasoningText": text}})
    return found
