"""`/ml/v1/text/chat` and `/ml/v1/text/chat_stream`: OpenAI's answers, framed and refused as watsonx.ai does."""

from __future__ import annotations

from dataclasses import replace

from gateway.providers.scripted.openai.chat import chat as openai_chat
from gateway.providers.scripted.scenario import Asked, Json, Rejected, Reply, Send
from gateway.providers.scripted.watsonx.small import admit

_FIELDS = frozenset({"model_id", "project_id", "space_id", "messages", "tools", "tool_choice", "tool_choice_option"})
_FIELDS |= {"max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "seed", "stop", "time_limit"}
_FIELDS |= {"logprobs", "top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty"}
_FIELDS |= {"response_format", "reasoning_effort", "include_reasoning", "chat_template_kwargs"}


def chat(asked: Asked) -> Reply:
    """One chat, whole."""
    return openai_chat(_as_openai(asked, stream=False))


def chat_stream(asked: Asked) -> Reply:
    """The same in numbered events: the counts stand in the last one, and nothing says that it is."""
    reply = openai_chat(_as_openai(asked, stream=True))
    *frames, _done = reply.frames
    closing = 1 if asked.script.no_usage else 2
    kept = [
        Send(b"id: %d\nevent: message\n" % number + frame.data, frame.tokens, last=number > len(frames) - closing)
        for number, frame in enumerate(frames, 1)
    ]
    return replace(reply, frames=tuple(kept))


def _as_openai(asked: Asked, *, stream: bool) -> Asked:
    """The request in OpenAI's words. Raises Rejected for what the API refuses."""
    body = asked.body
    admit(asked, deployed="model" in asked.params)
    for name in body:
        if name not in _FIELDS:
            raise Rejected(400, f"Json document validation error: unknown field '{name}'")
    choice, option = body.get("tool_choice"), body.get("tool_choice_option")
    if choice is not None and not isinstance(choice, dict):
        raise Rejected(400, "Json document validation error: tool_choice should be an object")
    if choice is not None and option is not None:
        raise Rejected(400, "only one of tool_choice and tool_choice_option is allowed")
    options: Json = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    fields = {**body, "model": asked.model, "tool_choice": choice or option, **options}
    if not fields.get("max_completion_tokens"):
        fields.pop("max_completion_tokens", None)  # 0: as many as there are
    return replace(asked, body=fields)
