"""OpenAI's API as a wire: requests pass as they came but for model name, defaults, `stream_options` and output caps.

Every provider type whose API is OpenAI's is an instance of `OpenAIDialect` with other words for its credentials and
paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from gateway.errors import InvalidRequest, UpstreamBadJson, UpstreamEmpty, UpstreamError
from gateway.ports import DecodedReply, RequestHead, StreamDecoder
from gateway.providers.wire.adapting import adapter_of
from gateway.providers.wire.caps import CAPS, cut, mentioned
from gateway.providers.wire.embeddings import in_format
from gateway.providers.wire.errors import error_from_event, error_from_reply
from gateway.providers.wire.foreign import without_ours
from gateway.providers.wire.forms import said
from gateway.providers.wire.head import EVENT_STREAM, HeaderPairs, bearer, head_of
from gateway.providers.wire.jsonscan import insert_members, members, model_spans
from gateway.providers.wire.loose import MARK, loosely
from gateway.providers.wire.mended_stream import MendedStream
from gateway.providers.wire.mending import mended_reply
from gateway.providers.wire.models import model_names
from gateway.providers.wire.named_stream import NamedEventStream
from gateway.providers.wire.searches import CALLED, searches_in
from gateway.providers.wire.sizes import reply_limit
from gateway.providers.wire.sse import ChunkStream
from gateway.providers.wire.traits import AS_OPENAI, Traits, changed
from gateway.providers.wire.usage import WireUsage
from gateway.types import Body, Call, Deployment, Headers, Provider, Service

_CHUNKED_SERVICES = (Service.CHAT, Service.COMPLETIONS)
_OPTIONS = b'stream_options"'
_INCLUDE_USAGE = b'"%b:{"include_usage":true}' % _OPTIONS

_TEXTS = frozenset({"text", "srt", "vtt"})
"""The forms of a transcript that are no JSON."""

Credentials = Callable[[Provider, str | None], HeaderPairs]


class _Reply(msgspec.Struct, gc=False):
    model: str | None = None
    usage: WireUsage | None = None
    error: object = None
    service_tier: object = None
    output: msgspec.Raw = msgspec.Raw()
    """Of responses: their items."""


_REPLY = msgspec.json.Decoder(_Reply)
_LOOSELY_READ = frozenset(_Reply.__struct_fields__) - {"output"}


class _Edit(NamedTuple):
    """A span of the body, and what stands there instead."""

    start: int
    end: int
    text: bytes


class OpenAIDialect:
    """A provider type that speaks OpenAI's API. Implements `gateway.ports.Dialect`. `chat_cap` is the member by which
    it cuts chats off; those that never learned OpenAI's newer `max_completion_tokens` know `max_tokens`. One with
    `traits` gets its requests adapted and its answers mended, where there is something to adapt or mend."""

    stream_type = EVENT_STREAM

    def __init__(
        self,
        name: str,
        *,
        credentials: Credentials = bearer,
        services: frozenset[Service] = frozenset(Service),
        chat_cap: str = "max_tokens",
        traits: Traits | None = None,
    ) -> None:
        self.name = name
        self.services = services
        takes_back = traits is not None and (traits.reasoning_field is not None or traits.thinking_parts)
        self.extensions = frozenset({chat_cap, "reasoning_content"} if takes_back else {chat_cap})
        self._credentials = credentials
        self._traits = traits
        self._adapter = None if traits is None else adapter_of(traits)
        # By preference: the other one is known too, where a deployment's defaults say so.
        self._caps = {**CAPS, Service.CHAT: tuple(sorted(CAPS[Service.CHAT], key=lambda name: name != chat_cap))}

    def head(self, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """The repeating part of calls to this path."""
        provider = deployment.provider
        return head_of(provider, call.path, self._credentials(provider, credential))

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """The client's bytes with the provider's model name, the deployment's defaults, usage asked for, and the cap
        of a call that is cut off."""
        if call.upload is not None:
            return call.upload.renamed(deployment.model)
        if call.service is Service.RESPONSES:
            call = without_ours(call)
        traits = self._traits
        if self._adapter is not None or deployment.traits:
            traits, call = self._adapted(call, deployment)
        added: list[bytes] = []
        edits: list[_Edit] = []
        if call.model_span is None:
            # The path named the model (or it is the API's default), the body did not.
            added.append(_member("model", deployment.model))
        else:
            edits.append(_Edit(*call.model_span, msgspec.json.encode(deployment.model)))
        if call.stream and call.service in _CHUNKED_SERVICES and (traits is None or traits.stream_options):
            if call.has_stream_options:
                edits += _usage_option(call)
            else:
                added.append(_INCLUDE_USAGE)
        if deployment.parameters or call.output_cap is not None:
            self._complete(call, deployment.parameters, traits, added, edits)
        parts = _edited(call.raw, edits)
        if added:
            parts = [*insert_members(parts[0], b",".join(added)), *parts[1:]]
        return parts

    def _adapted(self, call: Call, deployment: Deployment) -> tuple[Traits, Call]:
        """What is told apart for this deployment, and the call as it takes it. Raises UnsupportedParameter."""
        traits, adapter = self._traits, self._adapter
        if traits is None or adapter is None or deployment.traits:
            traits = changed(traits or AS_OPENAI, deployment.traits)
            adapter = adapter_of(traits)
        return traits, adapter.adapted(call, deployment.provider)

    def _complete(
        self, call: Call, defaults: Mapping[str, Any], traits: Traits | None, added: list[bytes], edits: list[_Edit]
    ) -> None:
        """Members that the caller left to us: the deployment's defaults, and the cap."""
        raw, cap = call.raw, call.output_cap
        caps = self._caps.get(call.service, ())
        if traits is not None:
            defaults = {traits.name_of(name): value for name, value in defaults.items()}
            caps = tuple(sorted(caps, key=lambda name: name != traits.max_tokens_field))
        names = caps if cap is not None else ()
        present = members(raw) if defaults or (names and mentioned(raw)) else []
        given = {member.key for member in present} | {*names}
        if call.max_tokens is not None:
            given.update(caps)  # whichever of them the caller used
        added += [_member(name, value) for name, value in defaults.items() if name not in given]
        if names and cap is not None:
            end = cut(raw, present, defaults, names, cap)
            edits += [_Edit(*span, b"%d" % end.tokens) for span in end.spans]
            if end.insert:
                added.append(_member(end.name, end.tokens))

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """The reply with the model's name as the client wrote it, its usage read."""
        content_type = dict(headers).get(b"content-type", b"application/json")
        if b"json" not in content_type:
            is_text = call.service is Service.TRANSCRIPTION and not content_type.startswith(b"text/html")
            # Of silence there may be nothing to write down.
            if is_text and (body or said(call, "response_format") in _TEXTS):
                return DecodedReply(body, content_type)
            raise UpstreamBadJson if body else UpstreamEmpty
        if body.lstrip()[:1] != b"{":
            body = body.removeprefix(MARK)
            if body.lstrip()[:1] != b"{":
                raise UpstreamBadJson if body.strip() else UpstreamEmpty
        if self._traits is not None and call.service is Service.CHAT:
            body = mended_reply(body, call.id, self._traits.finishes)
        reply = _reply_of(body)
        if reply.error:
            raise error_from_event(reply.error)
        if call.service is Service.EMBEDDINGS:
            body = in_format(body, call.encoding_format or "float")
        if reply.model is not None and reply.model != call.model:
            body = _renamed(body, call.model)
        if reply.usage is None:
            return DecodedReply(body, content_type)
        searches = searches_in(reply.output) if call.service is Service.RESPONSES and CALLED in body else 0
        return DecodedReply(body, content_type, reply.usage.counted(reply.service_tier, searches))

    def stream(self, call: Call, deployment: Deployment) -> StreamDecoder:
        """A decoder for one streamed answer."""
        if call.service in _CHUNKED_SERVICES:
            choices = call.choices if call.choices == 1 else self._choices(call, deployment)
            if self._traits is not None and call.service is Service.CHAT:
                return MendedStream(call, self._traits.finishes, choices)
            return ChunkStream(call.model, hide_usage=not call.include_usage, choices=choices)
        return NamedEventStream(call.model, reply_limit(call))

    def _choices(self, call: Call, deployment: Deployment) -> int:
        """How many the provider was asked for."""
        most = changed(self._traits or AS_OPENAI, deployment.traits).n_max if call.service is Service.CHAT else None
        return call.choices if most is None else min(call.choices, most)

    def names_tier(self, call: Call, deployment: Deployment) -> bool:
        """See `gateway.ports.TierDialect`."""
        if self._traits is None and not deployment.traits:
            return True
        known = changed(self._traits or AS_OPENAI, deployment.traits).known
        return not known or "service_tier" in known

    def models_head(self, provider: Provider, credential: str | None) -> RequestHead:
        """The GET that asks for the list of models."""
        return replace(head_of(provider, "/models", self._credentials(provider, credential)), method=b"GET")

    def decode_models(self, body: bytes) -> tuple[str, ...]:
        """The names in a list of models."""
        return model_names(body)

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """What a non-2xx answer means."""
        return error_from_reply(status, headers, body)


def _reply_of(body: bytes) -> _Reply:
    """What is read of an answer. Raises UpstreamBadJson."""
    try:
        return _REPLY.decode(body)
    except msgspec.ValidationError:
        raise UpstreamBadJson from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = loosely(body)
    try:
        read = {name: fields[name] for name in _LOOSELY_READ if name in fields} if fields is not None else None
        return msgspec.convert(read, _Reply)
    except msgspec.ValidationError:
        raise UpstreamBadJson from None


def _usage_option(call: Call) -> list[_Edit]:
    """`include_usage` switched on where options stand without it: in every member of that name, since providers differ
    in which of several they take. Raises InvalidRequest."""
    raw = call.raw
    if call.include_usage and raw.count(_OPTIONS) == 1:
        return []
    edits = []
    for member in members(raw):
        if member.key != "stream_options":
            continue
        given = msgspec.json.decode(raw[member.start : member.end])
        if given is not None and not isinstance(given, dict):
            raise InvalidRequest("`stream_options` must be an object.", param="stream_options")
        if not (given and given.get("include_usage") is True):
            edits.append(_Edit(member.start, member.end, msgspec.json.encode({**(given or {}), "include_usage": True})))
    return edits


def _edited(raw: bytes, edits: Sequence[_Edit]) -> list[bytes]:
    """`raw` with the edits made, in parts, to spare a copy."""
    parts: list[bytes] = []
    at = 0
    for start, end, text in sorted(edits):
        if raw[start:end] != text:
            parts += (raw[at:start], text)
            at = end
    parts.append(raw[at:])
    return parts


def _member(name: str, value: object) -> bytes:
    return msgspec.json.encode(name) + b":" + msgspec.json.encode(value)


def _renamed(body: bytes, model: str) -> bytes:
    for start, end in reversed(model_spans(body)):
        body = body[:start] + msgspec.json.encode(model) + body[end:]
    return body
