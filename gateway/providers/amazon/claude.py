"""Claude at Bedrock for clients of the Messages API: bodies as they came, answers in Anthropic's words."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import msgspec

from gateway.errors import UpstreamBadEvent, UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.providers.amazon.eventstream import FAILED, MessageSplitter
from gateway.providers.converse.errors import error_in_stream
from gateway.providers.converse.models import abilities_of, base_of
from gateway.providers.messages.models import abilities_of as claude_abilities
from gateway.providers.messages.passing import COUNT_TOKENS, MESSAGES, PassedStream, passed
from gateway.types import Call, Deployment, Usage

VERSION = "bedrock-2023-05-31"
_BETA = b"anthropic-beta"
_BETAS = (
    "computer-use-",
    "context-1m-",
    "context-management-",
    "dev-full-thinking-",
    "effort-",
    "fine-grained-tool-streaming-",
    "interleaved-thinking-",
    "output-128k-",
    "token-efficient-tools-",
    "tool-examples-",
    "tool-search-tool-",
)
"""Betas that Bedrock has: it refuses a request that names another, such as those of Anthropic's own clients."""
_OWN = ("guardrail_config", "additional_model_request_fields")
"""Defaults of a deployment that only Converse can be told."""


class _Chunk(msgspec.Struct, gc=False):
    data: bytes = msgspec.field(name="bytes")
    """An event of the model's own, in base64."""


class _Typed(msgspec.Struct, gc=False):
    type: str = ""


class _Counted(msgspec.Struct, gc=False, rename="camel"):
    input_tokens: int


_CHUNK = msgspec.json.Decoder(_Chunk)
_TYPED = msgspec.json.Decoder(_Typed)
_COUNTED = msgspec.json.Decoder(_Counted)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_passed(deployment: Deployment) -> bool:
    """Whether requests of that API pass through to this deployment."""
    return abilities_of(deployment.model).claude is not None and not any(name in deployment.parameters for name in _OWN)


def model_and_method(call: Call, deployment: Deployment) -> tuple[str, str]:
    """What is asked, of which model: profiles have no tokens counted, the models behind them do."""
    if call.path == COUNT_TOKENS:
        return base_of(deployment.model), "count-tokens"
    return deployment.model, "invoke-with-response-stream" if call.stream else "invoke"


def body_of(call: Call, deployment: Deployment) -> Sequence[bytes]:
    """The body of either."""
    if call.path == MESSAGES:
        return passed(call, deployment, _invoked)
    inner = b"".join(passed(call, deployment, _counted))
    return (msgspec.json.encode({"input": {"invokeModel": {"body": base64.b64encode(inner).decode()}}}),)


def _invoked(raw: bytes, call: Call, deployment: Deployment) -> Sequence[bytes]:
    """Model and kind of answer stand in the path; the version, and betas, in the body."""
    fields: dict[str, object] = {**_FIELDS.decode(raw)}
    for name in ("model", "stream"):
        fields.pop(name, None)
    betas = _betas(call)
    if betas:
        fields.setdefault("anthropic_beta", betas)
    return (msgspec.json.encode({**fields, "anthropic_version": VERSION}),)


def _counted(raw: bytes, call: Call, deployment: Deployment) -> Sequence[bytes]:
    """Nothing is made, but the limit must be there."""
    fields = _FIELDS.decode(b"".join(_invoked(raw, call, deployment)))
    limit = claude_abilities(deployment.model).max_output
    return (msgspec.json.encode({"max_tokens": limit, **fields}),)


def _betas(call: Call) -> list[str]:
    given = [value.decode("latin-1").split(",") for name, value in call.forwarded if name == _BETA]
    return [beta.strip() for line in given for beta in line if beta.strip().startswith(_BETAS)]


def read_count(body: bytes) -> DecodedReply:
    """In Anthropic's words. Raises UpstreamBadResponse."""
    try:
        counted = _COUNTED.decode(body).input_tokens
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamBadResponse from None
    return DecodedReply(b'{"input_tokens":%d}' % counted, b"application/json", Usage())


class InvokedStream(PassedStream):
    """Anthropic's events out of Bedrock's frames, relayed as they came."""

    __slots__ = ("_splitter",)

    def __init__(self, asked_model: str) -> None:
        super().__init__(asked_model)
        self._splitter = MessageSplitter()

    def feed(self, data: bytes) -> bytes:
        """See `gateway.ports.StreamDecoder`."""
        out: list[bytes] = []
        for name, payload in self._splitter.feed(data):
            if self.complete or self.failure is not None:
                break
            if name.startswith(FAILED):
                self.failure = error_in_stream(name[1:].decode("latin-1"), payload)
            elif name == b"chunk":
                out.append(self._relayed(payload))
        if self._splitter.too_long and self.failure is None and not self.complete:
            self.failure = UpstreamBadEvent()
        return b"".join(out)

    def _relayed(self, payload: bytes) -> bytes:
        """As a server-sent event, which its clients know by its name."""
        try:
            data = _CHUNK.decode(payload).data
            kind = _TYPED.decode(data).type
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.failure = UpstreamBadEvent()
            return b""
        return super().feed(b"event: %b\ndata: %b\n\n" % (kind.encode(), b" ".join(data.splitlines())))
