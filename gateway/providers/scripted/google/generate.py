"""`:generateContent` and `:streamGenerateContent`: every event of a stream is a whole response."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import orjson

from gateway.providers.scripted.openai.fields import charge, need, positive, text_of, tokens_of
from gateway.providers.scripted.scenario import (
    Asked,
    Charge,
    Json,
    Rejected,
    Reply,
    Send,
    event,
    json_reply,
    stream_reply,
)
from gateway.providers.scripted.tokens import count, pieces
from gateway.providers.scripted.turn import Ask, Tool, Turn, decide

_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_MODES = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}
_SIGNATURE = b64encode(b"mock").decode()
_MOST_CANDIDATES = 8
_PICTURE: Json = {
    "inlineData": {
        "mimeType": "image/png",
        "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    },
    "thoughtSignature": _SIGNATURE,
}
"""One point."""


def generate(asked: Asked) -> Reply:
    """One answer, whole."""
    turns, price = _turns(asked), charge(asked, _input_tokens(asked.body))
    body = {"candidates": [_candidate(asked, index, turn) for index, turn in enumerate(turns)], **_envelope(asked)}
    if not asked.script.no_usage:
        body["usageMetadata"] = _usage(price, turns)
    return json_reply(body, price, sum(turn.tokens for turn in turns))


def stream(asked: Asked) -> Reply:
    """The same in pieces, a token each; calls come whole. The last response has the finish reasons and the counts."""
    turns, price = _turns(asked), charge(asked, _input_tokens(asked.body), stream=True)
    envelope = _envelope(asked)
    frames: list[Send] = []
    for index, turn in enumerate(turns):
        for part, tokens in _pieces(asked, turn):
            candidate = {"index": index, "content": {"role": "model", "parts": [part]}}
            frames.append(event({"candidates": [candidate], **envelope}, tokens))
    usage = {} if asked.script.no_usage else {"usageMetadata": _usage(price, turns)}
    last = [
        {"index": index, "content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": _FINISH[turn.finish]}
        for index, turn in enumerate(turns)
    ]
    frames.append(replace(event({"candidates": last, **usage, **envelope}), last=True))
    return stream_reply(frames, price)


def count_tokens(asked: Asked) -> Reply:
    """What either would be charged on input; costs nothing. The Gemini API takes a whole request, Vertex AI its
    parts."""
    body = asked.body
    if "generateContentRequest" in body:
        body = need(body, "generateContentRequest", dict)
        if need(body, "model", str).removeprefix("models/") != asked.params.get("model"):
            raise Rejected(400, "The model in the request does not match the one in the path.")
    elif odd := body.keys() - {"contents", "systemInstruction", "tools", "generationConfig"}:
        raise Rejected(400, f'Invalid JSON payload received. Unknown name "{min(odd)}": Cannot find field.')
    return json_reply({"totalTokens": _input_tokens(body)}, Charge(asked.service, asked.model))


def _turns(asked: Asked) -> list[Turn]:
    ask, config = _ask(asked), asked.body.get("generationConfig") or {}
    number = positive(config, "candidateCount", most=_MOST_CANDIDATES) or 1
    return [decide(ask, asked.script, asked.request.digest, index) for index in range(number)]


def _ask(asked: Asked) -> Ask:
    body = asked.body
    contents = _contents(body)
    config = body.get("generationConfig") or {}
    last = contents[-1]["parts"]
    results = [part["functionResponse"] for part in last if "functionResponse" in part]
    texts = [str(result["response"].get("result", "")) for result in results]
    choice = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    names = choice.get("allowedFunctionNames")
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if schema is None and config.get("responseMimeType") == "application/json":
        schema = {"type": "object", "properties": {"echo": {"type": "string"}}}
    return Ask(
        model=asked.model,
        text="".join(texts) if results else text_of(last),
        after_tool=bool(results),
        tools=tuple(_tools(body)),
        tool_choice=f"={names[0]}" if names else _MODES[choice.get("mode", "AUTO")],
        schema=schema,
        limit=positive(config, "maxOutputTokens"),
        stop=tuple(config.get("stopSequences") or ()),
    )


def _tools(body: Json) -> list[Tool]:
    functions = [one for tool in body.get("tools") or () for one in tool.get("functionDeclarations") or ()]
    return [Tool(one["name"], one.get("parametersJsonSchema") or one.get("parameters")) for one in functions]


def _contents(body: Json) -> list[Json]:
    """The turns, by the rules that translators trip over. Raises Rejected in the API's words."""
    contents: list[Json] = need(body, "contents", list)
    if not contents:
        raise Rejected(400, "* GenerateContentRequest.contents: contents is not specified\n")
    called: list[str] = []
    for content in contents:
        if content.get("role", "user") not in ("user", "model"):
            raise Rejected(400, "Please use a valid role: user, model.")
        parts = need(content, "parts", list)
        answered = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        if len(answered) != len(called):
            raise Rejected(
                400,
                "Please ensure that the number of function response parts is equal to the number of function call parts"
                " of the function call turn.",
            )
        called = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
        first = next((part for part in parts if "functionCall" in part), None)
        if first is not None and not first.get("thoughtSignature"):
            raise Rejected(400, "Function call is missing a thought_signature in functionCall parts.")
        pictures = [part for part in parts if content.get("role") == "model" and "inlineData" in part]
        if not all(part.get("thoughtSignature") for part in pictures):
            raise Rejected(400, "Image part is missing a thought_signature.")
    return contents


def _input_tokens(body: Json) -> int:
    total = count(orjson.dumps(body["tools"]).decode()) if body.get("tools") else 0
    total += tokens_of((body.get("systemInstruction") or {}).get("parts"))
    for content in _contents(body):
        for part in content["parts"]:
            spoken = part.get("functionCall") or part.get("functionResponse")
            total += count(orjson.dumps(spoken).decode()) if spoken else tokens_of([part])
    return max(total, 1)


def _candidate(asked: Asked, index: int, turn: Turn) -> Json:
    parts: list[Json] = []
    if turn.reasoning:
        parts.append({"text": turn.reasoning, "thought": True})
    if turn.text:
        parts.append({"text": turn.text})
    parts += [*_drawn(asked), *_calls(turn)]
    content = {"role": "model", **({"parts": parts} if parts else {})}
    return {"index": index, "content": content, "finishReason": _FINISH[turn.finish]}


def _drawn(asked: Asked) -> list[Json]:
    """A picture, for those who want one."""
    wanted = (asked.body.get("generationConfig") or {}).get("responseModalities") or ()
    return [_PICTURE] if "IMAGE" in wanted else []


def _pieces(asked: Asked, turn: Turn) -> list[tuple[Json, int]]:
    found: list[tuple[Json, int]] = [({"text": piece, "thought": True}, 1) for piece in pieces(turn.reasoning)]
    found += [({"text": piece}, 1) for piece in pieces(turn.text)]
    found += [(part, 1) for part in _drawn(asked)]
    return found + [(part, call.tokens) for part, call in zip(_calls(turn), turn.calls, strict=True)]


def _calls(turn: Turn) -> list[Json]:
    """Of parallel calls the first one is signed."""
    return [
        {
            "functionCall": {
                "id": call.id.removeprefix("call_")[:8],
                "name": call.name,
                "args": _object(call.arguments),
            },
            **({} if number else {"thoughtSignature": _SIGNATURE}),
        }
        for number, call in enumerate(turn.calls)
    ]


def _object(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}  # cut off by the caller's limit


def _envelope(asked: Asked) -> Json:
    return {"modelVersion": asked.model, "responseId": asked.request.digest[:22]}


def _usage(price: Charge, turns: list[Turn]) -> Json:
    output, thoughts = sum(turn.tokens for turn in turns), sum(turn.reasoning_tokens for turn in turns)
    return {
        "promptTokenCount": price.input_tokens,
        "candidatesTokenCount": output - thoughts,
        "totalTokenCount": price.input_tokens + output,
        **({"thoughtsTokenCount": thoughts} if thoughts else {}),
        **({"cachedContentTokenCount": price.cached_input_tokens} if price.cached_input_tokens else {}),
    }
