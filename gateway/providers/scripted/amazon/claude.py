"""Claude, invoked: Anthropic's API in the body, its stream inside of Bedrock's frames."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import replace

import orjson

from gateway.providers.scripted.amazon.frames import EVENT_STREAM, named
from gateway.providers.scripted.anthropic.messages import count_tokens, messages
from gateway.providers.scripted.openai.fields import need
from gateway.providers.scripted.scenario import Asked, Json, Rejected, Reply, Send, json_reply

_BETAS = ("interleaved-thinking-", "context-1m-", "effort-")


def claude(asked: Asked) -> Reply:
    """As `/messages` answers; the model stands in the path."""
    return messages(_named(asked, asked.body))


def invoke_stream(asked: Asked) -> Reply:
    """The same, event by event."""
    reply = messages(_named(asked, {**asked.body, "stream": True}, streams=True))
    frames = tuple(_framed(frame) for frame in reply.frames)
    return replace(reply, frames=frames, content_type=EVENT_STREAM)


def count(asked: Asked) -> Reply:
    """The tokens of a body that is not answered. Profiles have none counted."""
    if asked.model.startswith(("us.", "eu.", "global.")):
        raise Rejected(400, "The provided model doesn't support counting tokens.")
    inner = orjson.loads(b64decode(asked.body["input"]["invokeModel"]["body"]))
    reply = count_tokens(_named(asked, inner))
    told = orjson.loads(reply.frames[0].data)["input_tokens"]
    return json_reply({"inputTokens": told}, reply.charge)


def _named(asked: Asked, body: Json, *, streams: bool = False) -> Asked:
    """Raises Rejected for what Bedrock does not take in a body."""
    need(body, "anthropic_version", str)
    need(body, "max_tokens", int)
    for name in ("model", *(() if streams else ("stream",))):
        if name in body:
            raise Rejected(400, f"{name}: Extra inputs are not permitted")
    for beta in body.get("anthropic_beta") or ():
        if not beta.startswith(_BETAS):
            raise Rejected(400, "invalid beta flag")
    return replace(asked, service="chat", body={**body, "model": asked.model})


def _framed(frame: Send) -> Send:
    data = frame.data.partition(b"data: ")[2].rstrip(b"\n")
    return named("chunk", {"bytes": b64encode(data).decode(), "p": "abc"}, frame.tokens, last=frame.last)
