"""Google's generateContent, of the Gemini API; `vertex` reads the same answers of Vertex AI."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.providers.recordings.exchanges import Exchange
from tests.providers.recordings.readers import Told

_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", 2: "length"}
_NAMES = re.compile(r"_([a-z])")


class Gemini:
    """See `Reader`."""

    dialect = "gemini"
    recorded: tuple[tuple[str, str], ...] = (("gemini", "generateContent"),)

    def served(self, exchange: Exchange) -> bool:
        """But for arguments in pieces, which are sent only to who asks for them: we never do."""
        return b'"willContinue"' not in exchange.body

    def told(self, exchange: Exchange) -> Told:
        if exchange.stream:
            lines = exchange.body.decode().splitlines()
            replies = [json.loads(line[5:]) for line in lines if line.startswith("data:")]
        else:
            replies = [json.loads(exchange.body)]
        told = Told()
        for reply in replies:
            _add(told, reply)
            counted = _usage(reply.get("usageMetadata") or {})
            told.usage = counted or told.usage
        if told.finish == "stop" and told.calls:
            told.finish = "tool_calls"
        return told

    def asked(self, exchange: Exchange) -> dict[str, Any] | None:
        body = exchange.request
        if body is None:
            return None
        body = _plain(body)
        if not _has_words(body):
            return None
        asked: dict[str, Any] = {"messages": _messages(body)}
        config = body.get("generationConfig", {})
        for ours, name in _SAME.items():
            if name in config:
                asked[ours] = int(config[name]) if name == "topK" else config[name]
        if "responseMimeType" in config:
            schema = {"name": "x", "schema": config["responseJsonSchema"]}
            asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        level = config.get("thinkingConfig", {}).get("thinkingLevel")
        if level:
            asked["reasoning_effort"] = level.lower()
        if "safetySettings" in body:
            asked["safety_settings"] = body["safetySettings"]
        strict = body.get("toolConfig") == {"functionCallingConfig": {"mode": "VALIDATED"}}
        tools = [_function(one, strict) for tool in body.get("tools") or () for one in tool["functionDeclarations"]]
        return {**asked, **({"tools": tools} if tools else {})}

    def same(self, ours: bytes, recorded: dict[str, Any]) -> None:
        assert _plain(json.loads(ours)) == _plain(recorded)


_SAME = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}


def _add(told: Told, reply: dict[str, Any]) -> None:
    if not reply.get("candidates"):
        assert reply["promptFeedback"]["blockReason"]
        told.finish = "content_filter"
        return
    (candidate,) = reply["candidates"]
    for part in candidate.get("content", {}).get("parts") or ():
        if "functionCall" in part:
            call = part["functionCall"]
            told.calls.append((call.get("id"), call["name"], call.get("args") or {}))
        elif part.get("thought"):
            told.reasoning += part["text"]
        else:
            told.text += part.get("text", "")
    if "finishReason" in candidate:
        told.finish = _FINISH[candidate["finishReason"]]


def _usage(usage: dict[str, Any]) -> tuple[int, int, int, int, int] | None:
    """Where the prompt is not counted, the total tells it."""
    thought = usage.get("thoughtsTokenCount", 0)
    output = usage.get("candidatesTokenCount", 0) + thought
    given = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
    given = given or usage.get("totalTokenCount", 0) - output
    return (
        (given, output, usage.get("cachedContentTokenCount", 0), 0, thought) if usage.get("totalTokenCount") else None
    )


# ---- requests --------------------------------------------------------------------------------------------------------


def _has_words(body: dict[str, Any]) -> bool:
    """Whether everything in it can be said to OpenAI's API, or is said by us in the same words."""
    config = body.get("generationConfig", {})
    thinking = config.get("thinkingConfig", {})
    parts = [part for content in body["contents"] for part in content["parts"]]
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    return (
        body.keys() <= {"contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "safetySettings"}
        and all(tool.keys() == {"functionDeclarations"} for tool in body.get("tools") or ())
        # We ask by level or by effort, never for a budget of our own or for thoughts alone.
        and (not thinking or "thinkingLevel" in thinking)
        # OpenAI's schemas are JSON's: those in Google's own words are read back as such only for tools.
        and ("responseMimeType" not in config or "responseJsonSchema" in config)
        # Ours have every file under its name, and no parts of thought.
        and not any(part.get("thought") for part in parts)
        and not any("parts" in result for result in results)
    )


def _plain(value: Any) -> Any:
    """One spelling for what the API takes in several: names of fields, defaults told or left out."""
    body = _camel(value)
    body.get("systemInstruction", {}).pop("role", None)
    config = body.get("generationConfig", {})
    if config.get("responseModalities") == ["TEXT"]:
        del config["responseModalities"]
    thinking = config.get("thinkingConfig")
    if thinking and "thinkingLevel" in thinking:
        thinking["thinkingLevel"] = thinking["thinkingLevel"].upper()
    if not config:
        body.pop("generationConfig", None)
    if body.get("toolConfig") == {"functionCallingConfig": {"mode": "AUTO"}}:
        del body["toolConfig"]
    for tool in body.get("tools") or ():
        for function in tool.get("functionDeclarations") or ():
            if "parameters" in function:
                function["parametersJsonSchema"] = _lowered(function.pop("parameters"))
            if not function.get("description"):
                function.pop("description", None)
            function.pop("response", None)
    body["contents"] = _merged(body["contents"])
    return body


def _merged(contents: list[Any]) -> list[Any]:
    """What one side says in a row is one turn, without ids that are ours alone."""
    merged: list[Any] = []
    for content in contents:
        if merged and merged[-1]["role"] == content["role"]:
            merged[-1]["parts"] += content["parts"]
        else:
            merged.append(content)
    for content in merged:
        for part in content["parts"]:
            for name in ("functionCall", "functionResponse"):
                if str(part.get(name, {}).get("id", "")).startswith(UNNAMED):
                    del part[name]["id"]
    return merged


UNNAMED = "unnamed-"
"""Calls were recorded without ids, which OpenAI's API cannot do without."""


def _camel(value: Any) -> Any:
    """Field names as the documents have them; schemas and contents of calls are left alone."""
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {_NAMES.sub(lambda match: match[1].upper(), name): one for name, one in value.items()}
    kept = ("args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema")
    return {name: json.loads(json.dumps(one)) if name in kept else _camel(one) for name, one in found.items()}


def _lowered(schema: Any) -> Any:
    """Types in JSON Schema's spelling."""
    if isinstance(schema, list):
        return [_lowered(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: one.lower() if name == "type" and isinstance(one, str) else _lowered(one) for name, one in schema.items()
    }


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "systemInstruction" in body:
        found.append({"role": "system", "content": body["systemInstruction"]["parts"][0]["text"]})
    open_calls: list[tuple[str, str]] = []
    for number, content in enumerate(body["contents"]):
        if content["role"] == "model":
            message, open_calls = _model(content["parts"], number)
            found.append(message)
            continue
        results = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        for result in results:
            id_ = result.get("id") or next(id_ for id_, name in open_calls if name == result["name"])
            open_calls = [call for call in open_calls if call[0] != id_]
            text = result["response"]
            only = text.get("result") if text.keys() == {"result"} else None
            said = only if isinstance(only, str) else json.dumps(text)
            found.append({"role": "tool", "tool_call_id": id_, "content": said})
        parts = [_part(part) for part in content["parts"] if "functionResponse" not in part]
        if parts:
            found.append({"role": "user", "content": parts})
    return found


def _model(parts: list[dict[str, Any]], number: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    calls: list[dict[str, Any]] = []
    for at, part in enumerate(parts):
        if "functionCall" in part:
            call = part["functionCall"]
            function = {"name": call["name"], "arguments": json.dumps(call["args"])}
            entry = {"id": call.get("id") or f"{UNNAMED}{number}-{at}", "type": "function", "function": function}
            signature = part.get("thoughtSignature")
            extra = {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}
            calls.append({**entry, **extra})
    text = "".join(part.get("text", "") for part in parts)
    message = {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}
    return message, [(call["id"], call["function"]["name"]) for call in calls]


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    data = part["fileData"]
    return {"type": "file", "file": {"file_id": data["fileUri"], "filename": "x." + data["mimeType"].split("/")[1]}}


def _function(function: dict[str, Any], strict: bool) -> dict[str, Any]:
    given = {"name": function["name"], "strict": strict}
    for ours, name in (("description", "description"), ("parameters", "parametersJsonSchema")):
        if name in function:
            given[ours] = function[name]
    return {"type": "function", "function": given}


READER = Gemini()
