"""Requests as a provider takes them that differs from OpenAI: renamed, cut down, refused. Untouched where nothing must
change.

What cannot be said goes the way of `chat.losses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec

from gateway.errors import InvalidJson, InvalidRequest
from gateway.providers.chat.losses import HINTS, Losses
from gateway.providers.wire.adapted_messages import MessageAdapter
from gateway.providers.wire.jsonscan import model_spans
from gateway.providers.wire.traits import AS_OPENAI, CAP_NAMES, EVERY_CHOICE, Traits
from gateway.types import Call, Provider, Service

Members = dict[str, msgspec.Raw]
_MEMBERS = msgspec.json.Decoder(Members)
_NULL = b"null"
_USERS = frozenset({"user", "safety_identifier"})
_ALWAYS = frozenset({"model", "messages", "stream", "stream_options"})
_SAMPLING = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "temperature": (1,),
    "top_p": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "parallel_tool_calls": (True,),
    "modalities": ([], ["text"]),
    "verbosity": ("medium",),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "functions": ([],),
}
"""Values that are as good as none."""
_READ = (
    _ALWAYS
    | NEUTRAL.keys()
    | _USERS
    | {
        *(*CAP_NAMES, "max_output_tokens", "stream_options.include_usage"),
        *("encoding_format", "input", "prompt", "tool_choice"),
    }
)
"""What the gateway reads, sets or adapts."""


@lru_cache(maxsize=4096)
def adapter_of(traits: Traits) -> Adapter:
    """The one of these traits."""
    return Adapter(traits)


class Adapter:
    """Puts requests as one provider or model takes them."""

    __slots__ = ("_always", "_changes", "_messages", "_traits")

    def __init__(self, traits: Traits) -> None:
        self._traits = traits
        self._messages = MessageAdapter(traits)
        self._changes = {Service.CHAT: self._chat, Service.EMBEDDINGS: self._embeddings}
        plain = replace(AS_OPENAI, developer_role=traits.developer_role, nulls=traits.nulls, finishes=traits.finishes)
        # Who differs in nothing but this is told apart by two fast looks, without decoding.
        self._always = traits != plain

    def adapted(self, call: Call, provider: Provider) -> Call:
        """The call as it is sent; itself where nothing changes. Raises InvalidJson, InvalidRequest,
        UnsupportedParameter."""
        raw, traits = call.raw, self._traits
        if not self._always:
            developer = not traits.developer_role and b'"developer"' in raw
            if not developer and (traits.nulls or _NULL not in raw):
                return call
        change = self._changes.get(call.service)
        if change is None and not traits.any_case:
            return call
        try:
            members = _MEMBERS.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if traits.any_case:
                raise InvalidJson.because("a member's name is no text") from None
            return call
        if traits.any_case:
            self._spelt(members)
        if change is None:
            return call
        before = dict(members)
        change(members, Losses(provider))
        if members == before:
            return call
        return with_members(call, members)

    # -- services

    def _embeddings(self, members: Members, losses: Losses) -> None:
        traits = self._traits
        _drop_nulls(members, traits)
        _rename(members, "dimensions", traits.dimensions_name)
        if not traits.encoding_format:
            # Vectors are put into the form that was asked for on their way back.
            members.pop("encoding_format", None)
        if traits.known:
            members.pop("user", None)

    def _chat(self, members: Members, losses: Losses) -> None:
        traits = self._traits
        _drop_nulls(members, traits)
        if traits.max_tokens_field is not None:
            for name in CAP_NAMES:
                _rename(members, name, traits.max_tokens_field)
        if traits.seed_name is None:
            _lose(members, "seed", losses)
        else:
            _rename(members, "seed", traits.seed_name)
        if not traits.stream_options:
            members.pop("stream_options", None)
        if not traits.sampling:
            for name in _SAMPLING:
                _lose(members, name, losses)
        if not traits.parallel_tool_calls:
            self._one_after_the_other(members, losses)
        self._bounds(members, losses)
        if "tool_choice" in members:
            self._tool_choice(members, losses)
        for name in traits.lost & members.keys():
            _lose(members, name, losses)
        if traits.known:
            self._unknown(members, losses)
        if "messages" in members:
            members["messages"] = self._messages.adapted(members["messages"], losses)

    def _spelt(self, members: Members) -> None:
        """Raises InvalidRequest for a member that the gateway does not know by its spelling and the provider would: it
        could ask for a stream that nobody awaits, or for more than what was allowed."""
        options = _value(members, "stream_options") if "stream_options" in members else None
        within = {f"stream_options.{name}" for name in options} if isinstance(options, dict) else set()
        for name in (*members, *within):
            known = name.casefold()  # as Go does it: the long s is s, and the Kelvin sign is k
            if known != name and known in _READ | self._traits.lost:
                message = f"Write `{name}` as `{known}`: the provider of this model does not tell them apart."
                raise InvalidRequest(message, param=known)

    # -- parameters

    def _one_after_the_other(self, members: Members, losses: Losses) -> None:
        if "tools" in members:
            _lose(members, "parallel_tool_calls", losses)
        else:
            members.pop("parallel_tool_calls", None)

    def _bounds(self, members: Members, losses: Losses) -> None:
        traits = self._traits
        for name, most in (("n", traits.n_max), ("top_logprobs", traits.top_logprobs_max)):
            if most is not None and name in members:
                value = _value(members, name)
                if isinstance(value, int) and value > most:
                    losses.parameter(name, f"It takes {most} at most.")
                    members[name] = _raw(most)
        if traits.stop_max is not None and "stop" in members:
            words = _value(members, "stop")
            if isinstance(words, list) and len(words) > traits.stop_max:
                losses.parameter("stop", f"It takes {traits.stop_max} words at most.")
                members["stop"] = _raw(words[: traits.stop_max])

    def _tool_choice(self, members: Members, losses: Losses) -> None:
        choice, able = _value(members, "tool_choice"), self._traits.tool_choice
        if isinstance(choice, dict) and choice.get("type") == "allowed_tools" and "allowed_tools" not in able:
            choice = _allowed(members, choice)
            members["tool_choice"] = _raw(choice)
        kind = choice if isinstance(choice, str) else "named"
        if kind in able or kind not in EVERY_CHOICE:
            return
        if kind == "none":
            # Without tools there is nothing to choose.
            members.pop("tools", None)
            members.pop("tool_choice")
        elif kind == "auto" or "tools" not in members:
            members.pop("tool_choice")
        else:
            losses.parameter("tool_choice")
            members.pop("tool_choice")

    def _unknown(self, members: Members, losses: Losses) -> None:
        """Whoever refuses what it does not know is spared it."""
        for name in members.keys() - self._traits.known - _ALWAYS:
            if name in HINTS or name in _USERS:
                del members[name]
            else:
                _lose(members, name, losses)


def _drop_nulls(members: Members, traits: Traits) -> None:
    if not traits.nulls:
        for name in [name for name, value in members.items() if bytes(value) == _NULL]:
            del members[name]


def _rename(members: Members, old: str, new: str) -> None:
    if old != new and old in members:
        members[new] = members.pop(old)


def _lose(members: Members, name: str, losses: Losses) -> None:
    """Leave a parameter out. Raises UnsupportedParameter for one that changes the answer and must not be dropped."""
    if name not in members:
        return
    if not any(_value(members, name) == neutral for neutral in NEUTRAL.get(name, ())):
        losses.parameter(name)
    del members[name]


def _allowed(members: Members, choice: dict[str, Any]) -> Any:
    """Only the tools that may be called are offered; the mode is left."""
    allowed = choice.get("allowed_tools")
    tools = _value(members, "tools") if "tools" in members else None
    if not isinstance(allowed, dict) or not isinstance(tools, list):
        return "auto"
    names = [_function(tool) for tool in allowed.get("tools") or () if isinstance(tool, dict)]
    members["tools"] = _raw([tool for tool in tools if isinstance(tool, dict) and _function(tool) in names])
    return allowed.get("mode", "auto")


def _function(tool: dict[str, Any]) -> Any:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else None


def _value(members: Members, name: str) -> Any:
    try:
        return msgspec.json.decode(members[name])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def with_members(call: Call, members: Members) -> Call:
    """The same call with these members."""
    if call.model_span is not None:
        members["model"] = _raw(call.model)  # it may have been null, where the path names the model
    raw = msgspec.json.encode(members)
    spans = model_spans(raw) if call.model_span is not None else []
    return msgspec.structs.replace(
        call,
        raw=raw,
        model_span=spans[0] if spans else None,
        has_stream_options=call.has_stream_options and "stream_options" in members,
    )
