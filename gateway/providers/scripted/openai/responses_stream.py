"""The events of a streamed response, numbered without gaps; there is no `[DONE]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.providers.scripted.scenario import Json, Send, event
from gateway.providers.scripted.tokens import count, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.providers.scripted.turn import Turn

Event = tuple[str, Json, int]
"""Name, fields, tokens."""


def response_events(answer: Json, turn: Turn) -> list[Send]:
    """Every event, from `response.created` to `response.completed` or `response.incomplete`."""
    return [
        event({"type": name, "sequence_number": number, **fields}, tokens, name)
        for number, (name, fields, tokens) in enumerate(_story(answer, turn))
    ]


def _story(answer: Json, turn: Turn) -> Iterator[Event]:
    started = {**answer, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    yield "response.created", {"response": started}, 0
    yield "response.in_progress", {"response": started}, 0
    for index, item in enumerate(answer["output"]):
        yield "response.output_item.added", {"output_index": index, "item": _begun(item)}, _opening_tokens(item)
        yield from _TELLERS[item["type"]](index, item)
        yield "response.output_item.done", {"output_index": index, "item": item}, 0
    last = "response.incomplete" if turn.finish in {"length", "content_filter"} else "response.completed"
    yield last, {"response": answer}, 0


def _begun(item: Json) -> Json:
    empty: dict[str, Any] = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "reasoning": {"summary": []},
    }
    status = {} if item["type"] == "reasoning" else {"status": "in_progress"}
    return {**item, **status, **empty[item["type"]]}


def _opening_tokens(item: Json) -> int:
    return count(item["name"]) if item["type"] == "function_call" else 0


def _tell_message(index: int, item: Json) -> Iterator[Event]:
    part = item["content"][0]
    at = {"item_id": item["id"], "output_index": index, "content_index": 0}
    yield "response.content_part.added", {**at, "part": {**part, "text": ""}}, 0
    for piece in pieces(part["text"]):
        yield "response.output_text.delta", {**at, "delta": piece, "logprobs": []}, 1
    yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}, 0
    yield "response.content_part.done", {**at, "part": part}, 0


def _tell_call(index: int, item: Json) -> Iterator[Event]:
    at = {"item_id": item["id"], "output_index": index}
    for piece in pieces(item["arguments"]):
        yield "response.function_call_arguments.delta", {**at, "delta": piece}, 1
    done = {**at, "name": item["name"], "arguments": item["arguments"]}
    yield "response.function_call_arguments.done", done, 0


def _tell_reasoning(index: int, item: Json) -> Iterator[Event]:
    part = item["summary"][0]
    at = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    yield "response.reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}, 0
    for piece in pieces(part["text"]):
        yield "response.reasoning_summary_text.delta", {**at, "delta": piece}, 1
    yield "response.reasoning_summary_text.done", {**at, "text": part["text"]}, 0
    yield "response.reasoning_summary_part.done", {**at, "part": part}, 0


_TELLERS: dict[str, Callable[[int, Json], Iterator[Event]]] = {
    "message": _tell_message,
    "function_call": _tell_call,
    "reasoning": _tell_reasoning,
}
