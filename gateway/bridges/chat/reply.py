"""A whole response as a chat completion."""

from __future__ import annotations

import msgspec

from gateway.bridges.chat.said import Item, Response, citation, item_of
from gateway.errors import UpstreamBadResponse, UpstreamServerError
from gateway.providers.chat.replies import Called, ChatReply, Choice, encode_reply
from gateway.providers.wire.errors import error_from_event
from gateway.types import Call, Usage

_RESPONSE = msgspec.json.Decoder(Response)


def completion(call: Call, body: bytes, usage: Usage | None) -> bytes:
    """The completion. Raises UpstreamBadResponse for what is no response, or the error that it tells of."""
    try:
        response = _RESPONSE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBadResponse from None
    if response.status == "failed":
        raise error_from_event(response.error) if response.error else UpstreamServerError
    if response.output is None or response.status not in (None, "completed", "incomplete"):
        raise UpstreamBadResponse
    choice = Choice(response.finish)
    try:
        for item in filter(None, map(item_of, response.output)):
            _add(choice, item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBadResponse from None
    return encode_reply(ChatReply([choice], usage), call)


def _add(choice: Choice, item: Item) -> None:
    """One item more. Those of tools that the provider runs itself are none of a chat's."""
    if item.type == "message":
        for part in item.content or ():
            choice.text += part.text or ""
            if part.refusal:
                choice.refusal = (choice.refusal or "") + part.refusal
            choice.annotations += [found for one in part.annotations or () if (found := citation(one)) is not None]
            if part.logprobs:
                known = choice.logprobs["content"] if choice.logprobs else []
                choice.logprobs = {"content": known + part.logprobs, "refusal": None}
    elif item.type == "reasoning":
        thought = item.thought
        choice.reasoning += ("\n\n" if choice.reasoning and thought else "") + thought
        if item.sealed is not None:
            choice.reasoning_blocks.append(item.sealed)
    elif item.type == "function_call":
        choice.calls.append(Called(item.call_id or "", item.name or "", item.arguments or ""))
