"""OpenAI's messages as Gemini's contents: instructions apart, turns that alternate, results named as their calls."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.errors import InvalidRequest
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.media import media_of
from gateway.providers.chat.request import ChatRequest, FileData, InputAudio, Message, Part, ToolCall
from gateway.providers.generate.models import Abilities

Json = dict[str, Any]

UNSIGNED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""`skip_thought_signature_validator`: stands in for a signature that the client lost, or that another model never
gave."""
_STORED = ("http://", "https://", "gs://")
_KINDS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
}
_ARGUMENTS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Conversation:
    """The translated messages."""

    __slots__ = ("_able", "_losses", "_names", "system", "turns")

    def __init__(self, chat: ChatRequest, able: Abilities, losses: Losses) -> None:
        self.system: list[Json] = []
        self.turns: list[Json] = []
        self._able = able
        self._losses = losses
        self._names: dict[str, str] = {}
        """Of functions, by the ids of their calls: results carry the id alone."""
        for index, message in enumerate(chat.messages):
            self._add(message, f"messages[{index}]")
        if self.system and (not self.turns or not able.instructed):
            # Instructions alone are answered by OpenAI, but this API wants somebody to speak.
            self._prepend(self.system)
            self.system = []

    def _add(self, message: Message, at: str) -> None:
        if message.role in ("system", "developer"):
            self.system += self._texts(message, at)
        elif message.role == "assistant":
            self._append("model", self._assistant(message, at))
        elif message.role == "tool":
            self._result(message, at)
        else:
            self._append("user", self._parts(message.parts, at))

    def _prepend(self, parts: list[Json]) -> None:
        if self.turns and self.turns[0]["role"] == "user":
            self.turns[0]["parts"][:0] = parts
        else:
            self.turns.insert(0, {"role": "user", "parts": parts})

    def _append(self, role: str, parts: list[Json]) -> None:
        """One more turn; what one side says in a row is one turn."""
        if not parts:
            return
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["parts"] += parts
        else:
            self.turns.append({"role": role, "parts": parts})

    def _texts(self, message: Message, at: str) -> list[Json]:
        for number, part in enumerate(message.parts):
            if part.type not in ("text", "refusal"):
                raise self._losses.content(f"{at}.content[{number}]", f"{part.type} in a {message.role} message")
        return [{"text": part.text or part.refusal} for part in message.parts if part.text or part.refusal]

    # -- what the model said

    def _assistant(self, message: Message, at: str) -> list[Json]:
        parts = self._texts(message, at)
        if message.refusal:
            parts.append({"text": message.refusal})
        for number, picture in enumerate(message.images or ()):
            parts.append(self._made(picture, f"{at}.images[{number}]"))
        for number, call in enumerate(message.tool_calls or ()):
            parts.append(self._called(call, f"{at}.tool_calls[{number}]", first=number == 0))
        return parts

    def _made(self, picture: Part, at: str) -> Json:
        """A picture of an earlier answer; each has a signature of its own."""
        signature = _signature(picture.extra_content) or (UNSIGNED if self._able.signed else "")
        return {**self._media(picture, at), **({"thoughtSignature": signature} if signature else {})}

    def _called(self, call: ToolCall, at: str, *, first: bool) -> Json:
        """Of parallel calls the first one has the signature."""
        if call.function is None:
            raise self._losses.content(at, f"a tool call of type {call.type}")
        self._names[call.id] = call.function.name
        given: Json = {"name": call.function.name, "args": _arguments(call.function.arguments, at)}
        if call.id:
            given["id"] = call.id
        signature = _signature(call.extra_content) or (UNSIGNED if first and self._able.signed else "")
        return {"functionCall": given, **({"thoughtSignature": signature} if signature else {})}

    # -- what it is told

    def _result(self, message: Message, at: str) -> None:
        """All results of a turn stand in one, before anything else that is said in it."""
        id_ = message.tool_call_id or ""
        name = self._names.get(id_) or message.name
        if not name:
            raise InvalidRequest("No tool call before this message has this id.", param=f"{at}.tool_call_id")
        texts = "".join(part.text for part in message.parts if part.type == "text")
        media = self._parts([part for part in message.parts if part.type != "text"], at)
        given: Json = {"id": id_, "name": name, "response": _response(texts)}
        if media and self._able.pictured_results:
            given["parts"] = media
            media = []
        if not self.turns or self.turns[-1]["role"] != "user":
            self.turns.append({"role": "user", "parts": []})
        parts = self.turns[-1]["parts"]
        place = next((place for place, part in enumerate(parts) if "functionResponse" not in part), len(parts))
        parts.insert(place, {"functionResponse": given})
        parts += media

    def _parts(self, parts: list[Part], at: str) -> list[Json]:
        found: list[Json] = []
        for number, part in enumerate(parts):
            if part.type != "text":
                found.append(self._media(part, f"{at}.content[{number}]"))
            elif part.text:
                found.append({"text": part.text})
        return found

    def _media(self, part: Part, at: str) -> Json:
        if part.type == "image_url" and part.image_url is not None:
            url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
            return self._bytes(url, f"{at}.image_url.url", "images")
        if part.type == "input_audio" and part.input_audio is not None:
            return _sound(part.input_audio, f"{at}.input_audio.data")
        if part.type == "file" and part.file is not None:
            return self._file(part.file, f"{at}.file")
        raise self._losses.content(at, f"a part of type `{part.type}`")

    def _bytes(self, url: str, at: str, what: str, name: str = "") -> Json:
        if url.startswith(_STORED):
            return _stored(url, name)
        media = media_of(url, at)
        if not media.kind:
            raise self._losses.content(at, f"{what} of unknown type", "Send a `data:` URI that names its media type.")
        return {"inlineData": {"mimeType": media.kind, "data": media.data}}

    def _file(self, file: FileData, at: str) -> Json:
        if file.file_data is not None:
            return self._bytes(file.file_data, f"{at}.file_data", "files", file.filename or "")
        if file.file_id is not None and file.file_id.startswith(_STORED):
            return _stored(file.file_id, file.filename or "")
        raise self._losses.content(f"{at}.file_id", "files stored at OpenAI", "Send the file as `file_data`.")


def _stored(url: str, name: str = "") -> Json:
    """Something that Google fetches itself; its type where a name tells it."""
    kind = _kind(name) or _kind(urlsplit(url).path)
    return {"fileData": {"fileUri": url, **({"mimeType": kind} if kind else {})}}


def _kind(name: str) -> str:
    return _KINDS.get(name.rpartition(".")[2].lower(), "")


def _sound(audio: InputAudio, at: str) -> Json:
    kind = audio.format.lower()
    return {"inlineData": {"mimeType": f"audio/{kind or 'wav'}", "data": media_of(audio.data, at).data}}


def _signature(extra: Any) -> str:
    """Where Google's own OpenAI endpoint has it: `extra_content.google.thought_signature`."""
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else ""


def _arguments(text: str, at: str) -> dict[str, msgspec.Raw]:
    try:
        return _ARGUMENTS.decode(text) if text.strip() else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        param = f"{at}.function.arguments"
        raise InvalidRequest(f"`{param}` must hold a JSON object, as the model wrote it.", param=param) from None


def _response(text: str) -> Any:
    """A result as an object, which it is already or becomes."""
    if text.lstrip().startswith("{"):
        try:
            return _ARGUMENTS.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass
    return {"result": text}
