"""A dialect behind a bridge is a dialect again: whoever sends an attempt sees no difference."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import GatewayError, UpstreamError
from gateway.ports import Bridge, DecodedReply, Dialect, Discerning, Extended, RequestHead, StreamDecoder
from gateway.types import Body, Call, Deployment, Headers


class BridgedDialect:
    """Speaks to a provider through a bridge. Implements `gateway.ports.Dialect` for calls of `bridge.spoken`."""

    def __init__(self, inner: Dialect, bridge: Bridge) -> None:
        self.name = inner.name
        self.services = inner.services
        self.stream_type = inner.stream_type
        self.extensions = _extensions(bridge)
        self._inner = inner
        self._bridge = bridge
        self._understood = _extensions(inner)
        self._discerning = inner if isinstance(inner, Discerning) else None

    def head(self, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """See `gateway.ports.Dialect`."""
        return self._inner.head(self._bridge.outline(call), deployment, credential)

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """See `gateway.ports.Dialect`. What the provider cannot say is told by the client's name for it."""
        discerning = self._discerning
        understood = self._understood if discerning is None else discerning.understood(deployment)
        asked = self._bridge.request(call, deployment, understood)
        try:
            return self._inner.body(asked, deployment)
        except GatewayError as error:
            self._rename(error)
            raise

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """See `gateway.ports.Dialect`."""
        reply = self._inner.decode(self._bridge.outline(call), deployment, headers, body)
        return self._bridge.reply(call, reply)

    def stream(self, call: Call, deployment: Deployment) -> StreamDecoder:
        """See `gateway.ports.Dialect`."""
        return self._bridge.stream(call, self._inner.stream(self._bridge.outline(call), deployment))

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """See `gateway.ports.Dialect`."""
        error = self._inner.error(status, headers, body)
        self._rename(error)
        return error

    def forwarded(self, call: Call) -> Headers:
        """Of the client's headers those that belong to what the provider is asked."""
        return self._bridge.outline(call).forwarded

    def _rename(self, error: GatewayError) -> None:
        if error.param is not None:
            error.param = self._bridge.param(error.param)


def _extensions(of: object) -> frozenset[str]:
    return of.extensions if isinstance(of, Extended) else frozenset()
