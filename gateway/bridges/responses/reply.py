"""A whole chat completion as a response."""

from __future__ import annotations

import msgspec

from gateway.bridges.chats import Called, Choice, Completion, Said
from gateway.bridges.responses.answer import (
    Json,
    Response,
    annotation,
    call_item,
    custom_item,
    estimated,
    is_short,
    message_item,
    picture_item,
    reasoning_item,
    refusal_part,
    text_part,
    usage_object,
)
from gateway.bridges.responses.provider_state import ProviderState
from gateway.bridges.responses.tools import customs, is_whole, unwrapped
from gateway.errors import UpstreamBadResponse, UpstreamServerError
from gateway.types import Call, Usage

_COMPLETION = msgspec.json.Decoder(Completion)


def response(call: Call, body: bytes, usage: Usage | None) -> bytes:
    """The response. Raises UpstreamBadResponse for what is no chat completion."""
    try:
        completion = _COMPLETION.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBadResponse from None
    choice = next((choice for choice in completion.choices if choice.index == 0), None)
    if choice is None or choice.message is None:
        raise UpstreamBadResponse
    if choice.finish_reason == "error":
        raise UpstreamServerError
    output = _output(call, choice, choice.message)
    counts = usage_object(usage or estimated(call, len(body)))
    return Response(call).over(output, choice.finish_reason, counts, completion.service_tier)


def _output(call: Call, choice: Choice, said: Said) -> list[Json]:
    output: list[Json] = []
    calls = [_id_put_in(call, number, one) for number, one in enumerate(said.tool_calls or ())]
    pictures = {f"ig_{call.id}_{number}": one for number, one in enumerate(said.images or ()) if one.parts is not None}
    extras = {one.id: one.extra_content for one in calls if one.id and one.extra_content is not None}
    extras |= {id_: one.extra_content for id_, one in pictures.items() if one.extra_content is not None}
    provider_state, thought = ProviderState(said.thinking_blocks or [], extras), said.thought
    if thought or provider_state.blocks or provider_state.extras:
        output.append(reasoning_item(f"rs_{call.id}_0", thought, provider_state))
    content = _content(choice, said)
    if content or not (output or calls or pictures or is_short(choice.finish_reason)):
        status = "incomplete" if is_short(choice.finish_reason) else "completed"
        output.append(message_item(f"msg_{call.id}_{len(output)}", content or [text_part("", [], [])], status))
    output += [picture_item(id_, *one.parts, "completed") for id_, one in pictures.items() if one.parts is not None]
    named = customs(call.raw) if calls else frozenset()
    for one in calls:
        output.append(_call(call, len(output), one, named, short=is_short(choice.finish_reason)))
    return output


def _content(choice: Choice, said: Said) -> list[Json]:
    content: list[Json] = []
    if said.text:
        likely = choice.logprobs.content if choice.logprobs is not None else None
        content.append(text_part(said.text, [annotation(one) for one in said.annotations or ()], likely or []))
    if said.refusal:
        content.append(refusal_part(said.refusal))
    return content


def _id_put_in(call: Call, number: int, called: Called) -> Called:
    if not called.id:
        called.id = f"call_{call.id}_{number}"
    return called


def _call(call: Call, index: int, called: Called, named: frozenset[str], *, short: bool) -> Json:
    function = called.function
    name = (function.name if function is not None else None) or ""
    arguments = (function.arguments if function is not None else None) or "{}"
    status = "incomplete" if short and not is_whole(arguments) else "completed"
    if name in named:
        return custom_item(f"ctc_{call.id}_{index}", called.id or "", name, unwrapped(arguments), status)
    return call_item(f"fc_{call.id}_{index}", called.id or "", name, arguments, status)
