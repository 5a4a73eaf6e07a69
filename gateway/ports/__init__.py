"""The seams between rooms: engines, dialects, health, observers. Protocols and the values that cross them."""

from __future__ import annotations

from gateway.ports.bridges import Bridge, Discerning, Extended, SurfaceDialect
from gateway.ports.common import Clock, Json, Secrets
from gateway.ports.dialects import (
    BatchingDialect,
    ChatCountingDialect,
    CountingDialect,
    DecodedReply,
    Dialect,
    ListsModels,
    Numbering,
    RankingDialect,
    SigningDialect,
    StreamDecoder,
    TellsFailure,
    TellsInput,
    Token,
    TokenDialect,
    TokenRequest,
)
from gateway.ports.extension import LocalAnswer, LocalDialect, LocalRequest, Setting
from gateway.ports.health import Conditions, Health, Ticket
from gateway.ports.observers import DeploymentChanged, IncidentChanged, LimitDecision, Observer, ProbeResult, QuotaAlert
from gateway.ports.wire import (
    UNBOUNDED,
    ByteSink,
    Deadlines,
    Endpoint,
    Engine,
    RequestHead,
    TappedResponse,
    UpstreamRequest,
    UpstreamResponse,
)

__all__ = [
    "UNBOUNDED",
    "BatchingDialect",
    "Bridge",
    "ByteSink",
    "ChatCountingDialect",
    "Clock",
    "Conditions",
    "CountingDialect",
    "Deadlines",
    "DecodedReply",
    "DeploymentChanged",
    "Dialect",
    "Discerning",
    "Endpoint",
    "Engine",
    "Extended",
    "Health",
    "IncidentChanged",
    "Json",
    "LimitDecision",
    "ListsModels",
    "LocalAnswer",
    "LocalDialect",
    "LocalRequest",
    "Numbering",
    "Observer",
    "ProbeResult",
    "QuotaAlert",
    "RankingDialect",
    "RequestHead",
    "Secrets",
    "Setting",
    "SigningDialect",
    "StreamDecoder",
    "SurfaceDialect",
    "TappedResponse",
    "TellsFailure",
    "TellsInput",
    "Ticket",
    "Token",
    "TokenDialect",
    "TokenRequest",
    "UpstreamRequest",
    "UpstreamResponse",
]
