"""From a reply and a script to a scenario: where faults, pauses and odd framing come in. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from gateway.providers.scripted.scenario import (
    Charge,
    Cut,
    End,
    Head,
    Rejected,
    Reply,
    Scenario,
    Send,
    Stall,
    Step,
    Surface,
    Wait,
)

if TYPE_CHECKING:
    from gateway.providers.scripted.script import Script
    from gateway.types import Headers

_HTML = b"<!doctype html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"
_PHRASES = {
    400: ("Scripted bad request.", None),
    401: ("Incorrect API key provided.", "invalid_api_key"),
    404: ("The model does not exist.", "model_not_found"),
    429: ("Rate limit reached.", "rate_limit_exceeded"),
    503: ("The model is overloaded.", "overloaded"),
}


def refusal(script: Script) -> Rejected | None:
    """The error that the script wants in place of an answer."""
    if script.insufficient_quota:
        return Rejected(script.status or 429, "You exceeded your current quota.", code="insufficient_quota")
    if script.context_length:
        return Rejected(
            script.status or 400,
            "The maximum context length is exceeded.",
            param="messages",
            code="context_length_exceeded",
        )
    if script.status is None or 200 <= script.status < 300:
        return None
    if not 300 <= script.status < 600:
        return Rejected(400, "The mock directive 'status' takes 200 to 599.", param="model")
    message, code = _PHRASES.get(script.status, ("Scripted failure.", None))
    return Rejected(script.status, message, code=code)


def error_reply(error: Rejected, surface: Surface, script: Script, charge: Charge) -> Reply:
    """An error with its status; `charge` names service and model only."""
    headers: list[tuple[bytes, bytes]] = []
    if script.retry_after is not None:
        headers.append((b"retry-after", f"{script.retry_after:g}".encode()))
    if 300 <= error.status < 400:
        headers.append((b"location", b"http://127.0.0.1:9/elsewhere"))
    return Reply((Send(orjson.dumps(surface.error(error))),), status=error.status, headers=headers, charge=charge)


def distort(reply: Reply, script: Script, surface: Surface) -> Reply:
    """The reply with the contents that the script wants in its place or in its midst."""
    if script.empty_200:
        return Reply((), content_type=reply.content_type, charge=_free(reply))
    if script.null_200:
        return Reply((Send(b"null"),), charge=_free(reply))
    if script.html_200:
        return Reply((Send(_HTML),), content_type=b"text/html; charset=utf-8", charge=_free(reply))
    after = 0 if script.error_in_200 else script.error_after
    if after is not None:
        reply = _with_error(reply, after, surface)
    frames = reply.frames
    if script.malformed_after is not None:
        frames = _malformed(reply, script.malformed_after, surface)
    if reply.stream:
        frames = _reframed(frames, script, text=reply.text)
    return Reply(frames, reply.status, reply.content_type, reply.headers, reply.charge)


def _with_error(reply: Reply, after: int, surface: Surface) -> Reply:
    shape = surface.error(Rejected(502, "The provider failed while it answered.", code="provider_error"))
    if not reply.stream:
        return Reply((Send(orjson.dumps(shape)),), charge=_free(reply))
    frames = (*reply.frames[:after], *surface.failed(shape))
    return Reply(frames, reply.status, reply.content_type, reply.headers, reply.charge if after else _free(reply))


def _free(reply: Reply) -> Charge:
    """Nobody pays for an answer that never began."""
    return replace(reply.charge, input_tokens=0, cached_input_tokens=0)


def _malformed(reply: Reply, after: int, surface: Surface) -> tuple[Send, ...]:
    if reply.stream:
        return (*reply.frames[:after], surface.malformed, *reply.frames[after:])
    whole = b"".join(frame.data for frame in reply.frames)
    return (Send(whole[: len(whole) // 2], sum(frame.tokens for frame in reply.frames)),)


def _reframed(frames: tuple[Send, ...], script: Script, *, text: bool) -> tuple[Send, ...]:
    if script.no_done:
        frames = tuple(frame for frame in frames if not frame.last)
    if script.end_after is not None:
        frames = frames[: script.end_after]
    if script.comments and text:
        frames = tuple(replace(frame, data=b": keep-alive\n\n" + frame.data) for frame in frames)
    if script.crlf and text:
        frames = tuple(replace(frame, data=frame.data.replace(b"\n", b"\r\n")) for frame in frames)
    return frames


def stage(reply: Reply, script: Script, common: Headers) -> Scenario:
    """The scenario that plays this reply: its head, its pauses and its end."""
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", reply.content_type),
        *common,
        *reply.headers,
    ]
    if reply.stream:
        headers.append((b"cache-control", b"no-cache"))
    else:
        headers.append((b"content-length", str(sum(len(frame.data) for frame in reply.frames)).encode()))
    steps = [*_opening(script)]
    if not (script.hang or script.drop):
        steps += [Head(), *_body(reply, script)]
    return Scenario(reply.status, tuple(headers), tuple(steps), reply.charge)


def _opening(script: Script) -> list[Step]:
    steps: list[Step] = []
    if script.slow_first_byte:
        steps.append(Wait(script.slow_first_byte))
    if script.hang or script.drop:
        steps.append(Cut() if script.drop else Stall())
    return steps


def _body(reply: Reply, script: Script) -> list[Step]:
    frames = reply.frames
    last: Step = End()
    if script.stall_after is not None:
        kept = frames[: script.stall_after] if reply.stream else _bytes(frames, script.stall_after)
        frames, last = tuple(kept), Stall()
    cut = script.cut_after if script.cut_after is not None else script.reset_after
    if cut is not None and sum(len(frame.data) for frame in frames) > cut:
        frames, last = _bytes(frames, cut), Cut(reset=script.cut_after is None)
    steps: list[Step] = []
    for number, frame in enumerate(frames):
        if script.pace and reply.stream and number:
            steps.append(Wait(script.pace))
        steps += _slices(frame, script.split) if script.split else [frame]
    return [*steps, last]


def _bytes(frames: tuple[Send, ...], limit: int) -> tuple[Send, ...]:
    """The first bytes of a body. A frame that is cut keeps its tokens: they were produced."""
    kept: list[Send] = []
    for frame in frames:
        if limit <= 0:
            break
        kept.append(Send(frame.data[:limit], frame.tokens))
        limit -= len(frame.data)
    return tuple(kept)


def _slices(frame: Send, size: int) -> list[Step]:
    parts = [frame.data[at : at + size] for at in range(0, len(frame.data), size)]
    return [Send(part, 0 if number else frame.tokens) for number, part in enumerate(parts)]
