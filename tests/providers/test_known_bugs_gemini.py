"""Translation bugs that other gateways had with Gemini, by their number in our list: each is shown to be absent."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.errors import UpstreamOverloaded, UpstreamServerError, UpstreamTruncated

from .contract import reading
from .contract.cases import PNG, RESULTS, TWO_CALLS
from .google import ASKED, END, FIRST, NEW, OLD, decoded, decoder, event, frame, function, sent, streamed, talk

USER: dict[str, Any] = {"role": "user", "content": "hi"}


def tool(schema: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": schema, **fields}}


def test_bug_01_parallel_calls_have_their_own_index() -> None:
    """Calls in one event are told apart, with ids of their own where Google gives none."""
    calls = streamed(event(function(x=1), function(y=2)), END).calls
    assert [arguments for _, _, arguments in calls] == ['{"x": 1}', '{"y": 2}']
    assert len({id_ for id_, _, _ in calls}) == 2


def test_bug_02_the_index_goes_on_from_event_to_event() -> None:
    """Calls in separate events are numbered on: `reading.streamed` asserts that numbers have no gap."""
    read = streamed(event(function(x=1)), event({"text": "and"}), event(function("g", y=2)), END)
    assert [name for _, name, _ in read.calls] == ["f", "g"]


def test_bug_06_a_stream_with_calls_finishes_with_tool_calls() -> None:
    """Google says `STOP` long after the call, in an event without one."""
    assert streamed(event(function()), END).finish == "tool_calls"
    whole = decoded(candidates=[{"content": {"parts": [function()]}, "finishReason": "STOP"}])
    assert whole.finish == "tool_calls"


def test_bug_08_the_first_chunk_says_the_role() -> None:
    """Whatever comes first, and even if nothing does."""
    for first in (event({"text": "a"}), event(function()), b""):
        out = decoder().feed(first)
        one = decoder()
        out = one.feed(first + END) + one.end()
        assert reading.events(out)[0]["choices"][0]["delta"]["role"] == "assistant"


def test_bug_09_usage_of_a_stream_is_kept() -> None:
    """The counts grow from event to event: the last ones hold, and are not added up; empty ones change nothing."""
    early = {"promptTokenCount": 5, "candidatesTokenCount": 1}
    late = {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 4, "toolUsePromptTokenCount": 2}
    read = streamed(
        event({"text": "a"}, usageMetadata=early),
        event({"text": "b"}, finish="STOP", usageMetadata=late),
        frame(usageMetadata={"trafficType": "ON_DEMAND"}),
    )
    assert read.usage is not None
    assert (read.usage["prompt_tokens"], read.usage["completion_tokens"]) == (7, 7)
    assert read.usage["completion_tokens_details"]["reasoning_tokens"] == 4


def test_bug_11_a_failure_is_no_empty_answer() -> None:
    """An error event, and a model that broke down, are errors: what was said before them is still said."""
    one = decoder()
    assert one.feed(frame(error={"code": 503, "status": "UNAVAILABLE", "message": "x"})) == b""
    assert isinstance(one.failure, UpstreamOverloaded)
    for reason in ("MALFORMED_FUNCTION_CALL", "OTHER", 9):
        one = decoder()
        assert b'"content":"a"' in one.feed(event({"text": "a"}, finish=reason))
        assert isinstance(one.failure, UpstreamServerError)
        with pytest.raises(UpstreamServerError):
            decoded(candidates=[{"content": {"parts": [{"text": "a"}]}, "finishReason": reason}])


def test_bug_12_a_stream_that_stops_is_no_end() -> None:
    """The end of the body is an end only after a finish reason."""
    one = decoder()
    out = one.feed(event({"text": "a"})) + one.end()
    assert isinstance(one.failure, UpstreamTruncated)
    assert b"[DONE]" not in out


def test_bug_18_arguments_are_kept() -> None:
    """Arguments come whole and leave whole, as JSON text, whole or streamed."""
    call = {"functionCall": {"name": "f", "args": {"a": {"b": [1, "ü"]}}}}
    for read in (streamed(event(call), END), decoded(candidates=[{"content": {"parts": [call]}, "finishReason": 1}])):
        assert json.loads(read.calls[0][2]) == {"a": {"b": [1, "ü"]}}


def test_bug_20_parallel_results_are_one_turn() -> None:
    """All results stand in one turn under their functions' names, before what the user says."""
    turns = talk(USER, TWO_CALLS, RESULTS[0], {"role": "user", "content": "well?"}, RESULTS[1])
    assert [turn["role"] for turn in turns] == ["user", "model", "user"]
    results = turns[2]["parts"]
    assert [part["functionResponse"]["name"] for part in results[:2]] == ["weather", "time"]
    assert results[2] == {"text": "well?"}


def test_bug_22_empty_text_is_left_out() -> None:
    """No part without a word is sent, whoever wrote it."""
    turns = talk({"role": "system", "content": ""}, {"role": "user", "content": [{"type": "text", "text": ""}]}, USER)
    assert turns == [{"role": "user", "parts": [{"text": "hi"}]}]


def test_bug_24_the_bytes_say_what_a_picture_is() -> None:
    """A wrong media type, or OpenAI users' `image/jpg`, is put right."""
    url = "data:image/jpg;base64," + base64.b64encode(PNG).decode()
    turns = talk({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})
    assert turns[0]["parts"][0]["inlineData"]["mimeType"] == "image/png"


def test_bug_26_urls_stay_urls() -> None:
    """Google fetches pictures itself."""
    turns = talk(
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.invalid/a.png?b"}}]}
    )
    assert turns[0]["parts"] == [{"fileData": {"fileUri": "https://x.invalid/a.png?b", "mimeType": "image/png"}}]


def test_bug_27_cached_tokens_are_part_of_the_prompt() -> None:
    """They are counted once."""
    usage = {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 1}
    read = streamed(event({"text": "a"}, finish="STOP", usageMetadata=usage))
    assert read.usage is not None
    assert read.usage["prompt_tokens"] == 100
    assert read.usage["prompt_tokens_details"]["cached_tokens"] == 60


def test_bug_28_characters_may_be_split_between_reads() -> None:
    """Bytes are joined before they are decoded."""
    body = event({"text": "ü🎈"}).replace(rb"\u00fc\ud83c\udf88", "ü🎈".encode()) + END
    assert "ü🎈".encode() in body
    one = decoder()
    out = b"".join(one.feed(body[at : at + 1]) for at in range(len(body))) + one.end()
    assert reading.streamed(out, ASKED, usage=True).text == "ü🎈"


def test_bug_30_developers_are_heard() -> None:
    """A developer's message is the system's."""
    body = sent(messages=[{"role": "developer", "content": "be brief"}, USER])
    assert body["systemInstruction"] == {"parts": [{"text": "be brief"}]}


SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "kind": {"const": "a"},
        "size": {"type": ["integer", "null"], "exclusiveMinimum": 0, "multipleOf": 2},
        "any": {"oneOf": [{"type": "string"}, {"type": "null"}, {"$ref": "#/$defs/item"}]},
        "list": {"type": "array", "items": {"$ref": "#/$defs/item"}, "uniqueItems": True},
        "number": {"enum": [1, 2]},
    },
    "$defs": {"item": {"type": "object", "patternProperties": {}, "properties": {"x": {"type": ["string", "number"]}}}},
    "additionalProperties": False,
}


def test_bug_32_schemas_are_sent_as_they_are_or_cut_down() -> None:
    """JSON Schemas stay what they are; models that know none get no word that would make them refuse the request."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    body = sent(tools=[tool(SCHEMA)], response_format=form)
    assert body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == SCHEMA
    assert body["generationConfig"]["responseJsonSchema"] == SCHEMA
    body = sent(FIRST, tools=[tool(SCHEMA)], response_format=form)
    item = {"type": "object", "properties": {"x": {"anyOf": [{"type": "string"}, {"type": "number"}]}}}
    wanted = {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["a"]},
            "size": {"type": "integer", "nullable": True},
            "any": {"nullable": True, "anyOf": [{"type": "string"}, item]},
            "list": {"type": "array", "items": item},
            "number": {},
        },
    }
    assert body["tools"][0]["functionDeclarations"][0]["parameters"] == wanted
    assert body["generationConfig"]["responseSchema"] == wanted


def test_bug_32_a_schema_of_itself_has_an_end() -> None:
    """References in a circle are followed to a bound."""
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}}}
    assert sent(FIRST, tools=[tool(schema)])["tools"]


def test_bug_33_thought_signatures_go_round() -> None:
    """A signature reaches the client with its call and comes back at the same place."""
    read = streamed(event({**function(x=1), "thoughtSignature": "s=="}, function(y=2)), END)
    out = decoder().feed(event({**function(x=1), "thoughtSignature": "s=="}))
    (call,) = reading.events(out)[-1]["choices"][0]["delta"]["tool_calls"]
    assert call["extra_content"] == {"google": {"thought_signature": "s=="}}
    calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id_, name, arguments in read.calls
    ]
    calls[0]["extra_content"] = call["extra_content"]
    turns = talk(USER, {"role": "assistant", "tool_calls": calls})
    assert [part.get("thoughtSignature") for part in turns[1]["parts"]] == ["s==", None]


def test_bug_33_a_lost_signature_is_made_up_for() -> None:
    """Where the client lost it, Gemini 3 is told not to look for it; older models do not look."""
    assert base64.b64decode(talk(USER, TWO_CALLS, *RESULTS)[1]["parts"][0]["thoughtSignature"]) == (
        b"skip_thought_signature_validator"
    )
    for part in talk(USER, TWO_CALLS, *RESULTS, model=OLD)[1]["parts"]:
        assert "thoughtSignature" not in part
    assert NEW != OLD
