"""Bridges: a call that arrives on one API surface, asked of a provider that has another one. Sans-IO."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from gateway.ports.dialects import DecodedReply, StreamDecoder
from gateway.types import Call, Deployment, Surface


class Bridge(Protocol):
    """Lets clients of one surface talk to providers that have another. No I/O, no state between calls."""

    spoken: Surface
    """The surface of the client."""
    asked: Surface
    """The surface of the provider."""

    def outline(self, call: Call) -> Call:
        """The call as one of the provider's surface, but with the client's body. It is what request heads are made from
        and answers are decoded by. Called several times per attempt, so it has to be cheap."""
        ...

    def request(self, call: Call, deployment: Deployment, extensions: frozenset[str]) -> Call:
        """As `outline`, with the body translated. It may use those fields beyond OpenAI's API that stand in
        `extensions`: the dialect behind the bridge understands them. Raises UnsupportedParameter for what the
        provider's surface cannot express, and InvalidRequest for what is invalid on any."""
        ...

    def reply(self, call: Call, reply: DecodedReply) -> DecodedReply:
        """A whole answer, translated for the client. `call` is the client's. Raises UpstreamBadResponse."""
        ...

    def stream(self, call: Call, inner: StreamDecoder) -> StreamDecoder:
        """A decoder that translates for the client what `inner` decodes from the provider's stream."""
        ...

    def param(self, name: str) -> str:
        """The client's name for the field that the provider's surface calls `name`: refusals name fields by it."""
        ...


@runtime_checkable
class Extended(Protocol):
    """A dialect, or a bridge, that understands fields of a chat which not every server of OpenAI's API knows."""

    @property
    def extensions(self) -> frozenset[str]:
        """The names of those fields: `thinking_blocks`, `extra_content`, `cache_control`, `thinking`, `top_k`, and
        `reasoning_content` where it is taken back. Also `max_completion_tokens`, which many servers do not know."""
        ...


@runtime_checkable
class Discerning(Protocol):
    """An `Extended` dialect whose extensions differ between models."""

    def understood(self, deployment: Deployment) -> frozenset[str]:
        """The part of `extensions` that this deployment's model accepts."""
        ...


@runtime_checkable
class SurfaceDialect(Protocol):
    """A dialect that lists its surfaces itself, because they differ between models or Anthropic's is among them.

    Those of every other dialect follow from its `services`.
    """

    def surfaces(self, deployment: Deployment) -> frozenset[Surface]:
        """The surfaces on which this deployment can be called without a bridge."""
        ...
