"""The error tree: every failure a caller can see, with its status, public type and code, and log level.

    GatewayError
    ├── ClientError            the request is at fault; never retried by us
    ├── Refused                the request is fine, we will not serve it now
    └── UpstreamError          a provider failed; `outcome` names how, `failover` says whether another may be tried

Text that a client sees comes from the class or from our own code, never from a foreign exception. Constructing an error
has no side effects.
"""

from __future__ import annotations

from gateway.errors.base import GatewayError, OperatorError
from gateway.errors.client import (
    BodyTooLarge,
    ClientError,
    ForbiddenHost,
    InvalidApiKey,
    InvalidJson,
    InvalidRequest,
    KeyExpired,
    KeyRevoked,
    MethodNotAllowed,
    ModelAccessDenied,
    ModelNotFound,
    RequestExceedsLimit,
    SlowUpload,
    UnknownPath,
    UnpricedModel,
    UnsupportedMedia,
    UnsupportedParameter,
)
from gateway.errors.refused import (
    AuthUnavailable,
    ClientGone,
    DeploymentsFull,
    Draining,
    InsufficientQuota,
    LedgerUnavailable,
    NoUpstream,
    Overloaded,
    QuotaUnavailable,
    RateLimited,
    Refused,
)
from gateway.errors.upstream import (
    ProviderAuthFailed,
    UpstreamBadEvent,
    UpstreamBadResponse,
    UpstreamConflict,
    UpstreamConnectTimeout,
    UpstreamDisconnected,
    UpstreamDnsFailed,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamPoolExhausted,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamServerError,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTlsFailed,
    UpstreamTooLarge,
    UpstreamTruncated,
    UpstreamUnreachable,
)

__all__ = [
    "AuthUnavailable",
    "BodyTooLarge",
    "ClientError",
    "ClientGone",
    "DeploymentsFull",
    "Draining",
    "ForbiddenHost",
    "GatewayError",
    "InsufficientQuota",
    "InvalidApiKey",
    "InvalidJson",
    "InvalidRequest",
    "KeyExpired",
    "KeyRevoked",
    "LedgerUnavailable",
    "MethodNotAllowed",
    "ModelAccessDenied",
    "ModelNotFound",
    "NoUpstream",
    "OperatorError",
    "Overloaded",
    "ProviderAuthFailed",
    "QuotaUnavailable",
    "RateLimited",
    "Refused",
    "RequestExceedsLimit",
    "SlowUpload",
    "UnknownPath",
    "UnpricedModel",
    "UnsupportedMedia",
    "UnsupportedParameter",
    "UpstreamBadEvent",
    "UpstreamBadResponse",
    "UpstreamConflict",
    "UpstreamConnectTimeout",
    "UpstreamDisconnected",
    "UpstreamDnsFailed",
    "UpstreamError",
    "UpstreamOverloaded",
    "UpstreamPoolExhausted",
    "UpstreamRateLimited",
    "UpstreamRejected",
    "UpstreamServerError",
    "UpstreamStalled",
    "UpstreamTimeout",
    "UpstreamTlsFailed",
    "UpstreamTooLarge",
    "UpstreamTruncated",
    "UpstreamUnreachable",
]
