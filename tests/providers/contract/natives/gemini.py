"""Google's generateContent, at the Gemini API."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from gateway.ports import RequestHead
from tests.providers.contract.said import Call, Heard, Said, Turn

_STOP = {"stop": "STOP", "length": "MAX_TOKENS", "calls": "STOP", "refused": "SAFETY"}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Gemini:
    """See `Native`."""

    options: Mapping[str, Any] = {}
    base_url = "https://provider.invalid/v1beta"
    model = "gemini-3-flash-preview"
    prefix = b"/v1beta/models/"
    refuses: Mapping[str, str] = {"no_parallel": "parallel_tool_calls"}
    silent = frozenset({"cache_written"})

    def credential(self, headers: dict[bytes, bytes]) -> bytes:
        return headers[b"x-goog-api-key"]

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        assert head.target.startswith(self.prefix)
        model, _, method = head.target.removeprefix(self.prefix).partition(b":")
        assert method in (b"generateContent", b"streamGenerateContent?alt=sse")
        assert self.credential(dict(head.headers)) == b"secret"
        fields = json.loads(body)
        heard = Heard(model=model.decode(), stream=method.startswith(b"stream"))
        heard.system = "".join(part["text"] for part in fields.get("systemInstruction", {"parts": []})["parts"])
        for before, content in zip([None, *fields["contents"]], fields["contents"], strict=False):
            assert content["role"] in ("user", "model")
            assert content["parts"]
            assert before is None or before["role"] != content["role"], "turns alternate"
            heard.add(_turn(content))
        for tool in fields.get("tools") or ():
            for function in tool["functionDeclarations"]:
                schema = function.get("parametersJsonSchema")
                heard.tools[function["name"]] = (function.get("description", ""), schema)
        _choose(heard, (fields.get("toolConfig") or {}).get("functionCallingConfig") or {})
        _configure(heard, fields.get("generationConfig") or {})
        return heard

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        candidate = {
            "content": {"parts": _parts(said), "role": "model"},
            "finishReason": _STOP[said.finish],
            "index": 0,
        }
        body = {"candidates": [candidate], **_envelope(said)}
        return b"application/json; charset=UTF-8", json.dumps(body, indent=2, ensure_ascii=False).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        pieces: list[Any] = []
        for part in _parts(said):
            text = part.get("text", "")
            middle = (len(text) + 1) // 2
            pieces += [{**part, "text": half} for half in (text[:middle], text[middle:])] if text else [part]
        # The counts grow; the last ones hold.
        before = {
            **_envelope(said),
            "usageMetadata": {"promptTokenCount": said.counts.input, "candidatesTokenCount": 1},
        }
        frames = [
            _frame(candidates=[{"content": {"parts": [one], "role": "model"}, "index": 0}], **before) for one in pieces
        ]
        last = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": _STOP[said.finish], "index": 0}
        return b"text/event-stream", [*frames, _frame(candidates=[last], **_envelope(said))]

    def refusal(self, status: int, message: str) -> bytes:
        error = {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}
        return json.dumps({"error": error}).encode()

    def broken(self) -> bytes:
        return _frame(error={"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"})


def _turn(content: dict[str, Any]) -> Turn:
    turn = Turn("assistant" if content["role"] == "model" else "user")
    for part in content["parts"]:
        if "functionCall" in part:
            call = part["functionCall"]
            assert turn.calls or part["thoughtSignature"], "the first call of a turn is signed"
            turn.calls.append(Call(call["id"], call["name"], call["args"]))
        elif "functionResponse" in part:
            assert not turn.text, "results stand first"
            result = part["functionResponse"]
            assert result["name"]
            turn.results.append((result["id"], result["response"]["result"]))
        elif "inlineData" in part:
            blob = part["inlineData"]
            turn.images.append((blob["mimeType"], base64.b64decode(blob["data"])))
        else:
            assert part["text"], "empty text is refused"
            turn.text += part["text"]
    return turn


def _choose(heard: Heard, choice: dict[str, Any]) -> None:
    names = choice.get("allowedFunctionNames")
    words = {"AUTO": "auto", "NONE": "none", "ANY": "required", "VALIDATED": "auto"}
    heard.choice = f"={names[0]}" if names else words[choice.get("mode", "AUTO")]


def _configure(heard: Heard, config: dict[str, Any]) -> None:
    heard.schema = config.get("responseJsonSchema")
    heard.json_mode = config.get("responseMimeType") == "application/json"
    assert heard.json_mode or heard.schema is None
    heard.stop = tuple(config.get("stopSequences") or ())
    heard.limit = config.get("maxOutputTokens")
    heard.temperature, heard.top_p = config.get("temperature"), config.get("topP")
    heard.n, heard.seed = config.get("candidateCount", 1), config.get("seed")
    thinking = config.get("thinkingConfig") or {}
    assert not {"thinkingLevel", "thinkingBudget"} <= set(thinking), "both together are refused"
    heard.thinks = bool(thinking.get("includeThoughts"))


def _parts(said: Said) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if said.reasoning:
        parts.append({"text": said.reasoning, "thought": True})
    if said.text:
        parts.append({"text": said.text})
    for number, call in enumerate(said.calls):
        signed = {} if number else {"thoughtSignature": "sig=="}
        parts.append({"functionCall": {"name": call.name, "args": call.arguments, "id": call.id}, **signed})
    return parts


def _envelope(said: Said) -> dict[str, Any]:
    counts = said.counts
    usage = {
        "promptTokenCount": counts.input,
        "candidatesTokenCount": counts.output - counts.reasoning,
        "totalTokenCount": counts.input + counts.output,
        **({"thoughtsTokenCount": counts.reasoning} if counts.reasoning else {}),
        **({"cachedContentTokenCount": counts.cached} if counts.cached else {}),
    }
    return {"usageMetadata": usage, "modelVersion": "gemini-3-flash-preview", "responseId": "native"}


def _frame(**fields: Any) -> bytes:
    return f"data: {json.dumps(fields, ensure_ascii=False)}\r\n\r\n".encode()


NATIVE = Gemini()
