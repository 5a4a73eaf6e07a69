"""What workers report of providers' health, on its way through a Redis stream to the process that keeps the books."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from gateway.errors import UpstreamError
from gateway.ports import DeploymentChanged, ProbeResult

STREAM = "gw:health"
GROUP = "incidents"


class Failures(msgspec.Struct, frozen=True, tag="failures"):
    """Attempts at a deployment that failed in one way, as many as there were since the last report."""

    deployment: str
    outcome: str
    count: int
    first: float
    """Unix seconds."""
    last: float


class Recovered(msgspec.Struct, frozen=True, tag="recovered"):
    """The first attempt that went well after some that failed."""

    deployment: str
    at: float


Event = ProbeResult | DeploymentChanged | Failures | Recovered


class BadEvents(Exception):
    """What stands in the stream is nothing that a worker of this version writes."""


def _kinds(root: type[UpstreamError]) -> Iterable[type[UpstreamError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)


HARMFUL = frozenset(kind.outcome for kind in _kinds(UpstreamError) if kind.counts_against_health)
"""Outcomes that speak against a deployment; the others are the client's doing, or a limit's."""

_DECODER = msgspec.msgpack.Decoder(list[Event])


def encode(events: Sequence[Event]) -> bytes:
    """One entry of the stream."""
    return msgspec.msgpack.encode(events)


def decode(value: bytes) -> list[Event]:
    """Raises BadEvents."""
    try:
        return _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadEvents from None
