"""Bridges: calls of one surface asked by another, and their answers put back, sans-IO."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from gateway.ports.dialects import DecodedReply, StreamDecoder
from gateway.types import Call, Deployment, Surface


class Bridge(Protocol):
    """Lets clients of one surface talk to providers that have another. No I/O, no state between calls."""

    spoken: Surface
    """What the client speaks."""
    asked: Surface
    """What the provider is asked by."""

    def outline(self, call: Call) -> Call:
        """The call as the other surface has it, its body left as it is: what heads, replies and streams go by. Cheap:
        it is asked for more than once."""
        ...

    def request(self, call: Call, deployment: Deployment, extensions: frozenset[str]) -> Call:
        """The same with the body in the other surface's words, and of the `extensions` that the dialect behind it
        understands. Raises UnsupportedParameter for what it cannot say, and InvalidRequest for what nobody could."""
        ...

    def reply(self, call: Call, reply: DecodedReply) -> DecodedReply:
        """A whole answer in the client's words. `call` is the client's. Raises UpstreamBadResponse."""
        ...

    def stream(self, call: Call, inner: StreamDecoder) -> StreamDecoder:
        """A decoder that hands on in the client's words what `inner` makes of the provider's stream."""
        ...

    def param(self, name: str) -> str:
        """What the client calls the field that the other surface calls so."""
        ...


@runtime_checkable
class Extended(Protocol):
    """A dialect, or a bridge, that understands more in a chat than every server of OpenAI's API does."""

    @property
    def extensions(self) -> frozenset[str]:
        """The names of those fields: `thinking_blocks`, `extra_content`, `cache_control`, `thinking`, `top_k`, and
        `reasoning_content` where it is taken back. Also `max_completion_tokens`, which many servers do not know."""
        ...


@runtime_checkable
class Discerning(Protocol):
    """An `Extended` dialect whose models do not all understand the same."""

    def understood(self, deployment: Deployment) -> frozenset[str]:
        """Those of its `extensions` that this deployment's model takes."""
        ...


@runtime_checkable
class SurfaceDialect(Protocol):
    """A dialect whose surfaces its `services` do not tell: they differ between models, or Anthropic's is among them."""

    def surfaces(self, deployment: Deployment) -> frozenset[Surface]:
        """Those that this deployment is called by natively."""
        ...
