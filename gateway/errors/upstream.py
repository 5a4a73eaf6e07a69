"""The upstream's failures: `outcome` names how, `failover` says whether another may be tried."""

from __future__ import annotations

import logging
from typing import ClassVar

from gateway.errors.base import GatewayError


class UpstreamError(GatewayError):
    """A provider failed. `outcome` is its label; `failover` says whether another deployment may be tried."""

    status = 502
    type = "server_error"
    code: ClassVar[str | None] = "upstream_error"
    message = "The model provider failed to answer this request."
    outcome: ClassVar[str] = "error"
    failover: ClassVar[bool] = True
    fallback_on: ClassVar[str] = "error"
    """The word in a route's `fallback_on` that covers this failure."""
    retry_same: ClassVar[bool] = True
    """Trying the same deployment again can help."""
    once: ClassVar[bool] = False
    """One more try is worth it, wherever, and no third."""
    counts_against_health: ClassVar[bool] = True


class UpstreamUnreachable(UpstreamError):
    """No connection: refused, broken before it stood, or the name does not resolve."""

    code = "upstream_unreachable"
    message = "The model provider cannot be reached."
    outcome = "connect_refused"


class UpstreamDnsFailed(UpstreamUnreachable):
    """The provider's name does not resolve."""

    outcome = "dns"


class UpstreamAddressForbidden(UpstreamUnreachable):
    """The address is private and the provider may not be in a private network, or it is one that is never allowed."""

    retry_same = False
    outcome = "address_forbidden"


class UpstreamConnectTimeout(UpstreamError):
    """No connection, or no TLS session, within the connect timeout."""

    status = 504
    code = "upstream_timeout"
    message = "The model provider did not accept a connection in time."
    outcome = "connect_timeout"
    fallback_on = "timeout"


class UpstreamTlsFailed(UpstreamError):
    """The certificate or the handshake is wrong."""

    code = "upstream_tls"
    message = "No trusted connection to the model provider could be made."
    retry_same = False
    outcome = "tls"


class UpstreamPoolExhausted(UpstreamError):
    """Every connection that there may be was busy, for as long as one is waited for."""

    status = 503
    code = "upstream_overloaded"
    message = "All connections to the model provider are in use."
    retry_same = False
    outcome = "pool_timeout"
    counts_against_health = False


class UpstreamNoSocket(UpstreamError):
    """The system gives this process no more descriptors or memory for a connection: nothing was sent, and nothing is
    known of the provider."""

    status = 503
    code = "overloaded"
    message = "The gateway is at its capacity. Try again shortly."
    should_retry = True
    retry_same = False
    outcome = "no_sockets"
    counts_against_health = False


class UpstreamTimeout(UpstreamError):
    """No first byte in time, or 408/504 from the provider."""

    status = 504
    code = "upstream_timeout"
    message = "The model provider did not answer in time."
    retry_same = False
    outcome = "ttfb_timeout"
    fallback_on = "timeout"


class UpstreamRequestTimeout(UpstreamTimeout):
    """408: the provider says that it waited for us, or for its model, too long."""

    outcome = "408"
    once = True
    counts_against_health = False


class UpstreamStalled(UpstreamError):
    """The answer began and then nothing came for the idle timeout."""

    status = 504
    code = "upstream_timeout"
    message = "The model provider stopped sending in the middle of its answer."
    retry_same = False
    outcome = "stall"
    fallback_on = "timeout"


class UpstreamDisconnected(UpstreamError):
    """The connection broke before the first byte of an answer."""

    code = "upstream_disconnected"
    message = "The model provider closed the connection before it answered."
    outcome = "disconnected"


class UpstreamTruncated(UpstreamError):
    """The answer began and broke off."""

    code = "upstream_disconnected"
    message = "The model provider's answer broke off before its end."
    outcome = "truncated"


class UpstreamOutrun(UpstreamError):
    """A hedged attempt that another one overtook: cancelled by us, and seen by nobody but the ledger."""

    message = "Another attempt of this call answered first."
    outcome = "hedged"
    failover = False
    counts_against_health = False
    log_level = logging.INFO


class UpstreamBadResponse(UpstreamError):
    """The answer is not HTTP, not JSON, not an event stream, empty, or a redirect."""

    code = "bad_upstream_response"
    message = "The model provider sent an answer that cannot be understood."
    outcome = "bad_response"
    once = True


class UpstreamBadJson(UpstreamBadResponse):
    """A 2xx whose body is not the JSON that was asked for."""

    outcome = "bad_json"


class UpstreamEmpty(UpstreamBadResponse):
    """A 2xx without a body, or a stream without an event."""

    outcome = "empty"


class UpstreamRedirected(UpstreamBadResponse):
    """3xx: redirects are never followed."""

    outcome = "redirect"


class UpstreamBadEvent(UpstreamBadResponse):
    """An event of a stream cannot be parsed or is too large."""

    outcome = "bad_sse"


class UpstreamTooLarge(UpstreamBadResponse):
    """The answer exceeds what we hold for one request."""

    message = "The model provider's answer is larger than this gateway accepts."
    failover = False
    retry_same = False
    counts_against_health = False
    outcome = "too_large"


class UpstreamServerError(UpstreamError):
    """500, 502, 424 and their like."""

    outcome = "5xx"


class UpstreamOverloaded(UpstreamError):
    """503 or 529."""

    status = 503
    code = "upstream_overloaded"
    message = "The model provider is overloaded."
    should_retry = True
    outcome = "5xx"


class UpstreamConflict(UpstreamError):
    """409."""

    status = 409
    code = "upstream_conflict"
    message = "The model provider reported a conflict for this request."
    outcome = "409"
    once = True
    counts_against_health = False


class ProviderAuthFailed(UpstreamError):
    """The provider refuses our credential or our account: never the client's 401."""

    code = "provider_auth"
    message = "The gateway's access to the model provider was refused. The operator has to look at its credentials."
    retry_same = False
    outcome = "provider_auth"
    fallback_on = "auth"


class CredentialsUnavailable(UpstreamError):
    """None of the provider's stored credentials can be read: nothing was sent."""

    status = 503
    code = "credentials_unavailable"
    message = "The gateway cannot read its credentials for the model provider at the moment."
    should_retry = True
    retry_same = False
    outcome = "credentials_unavailable"
    fallback_on = "auth"
    counts_against_health = False


class UpstreamRateLimited(UpstreamError):
    """429 from the provider."""

    status = 429
    type = "rate_limit_error"
    code = "upstream_rate_limited"
    message = "The model provider's rate limit is reached."
    should_retry = True
    retry_same = False
    outcome = "429"
    fallback_on = "rate_limit"
    counts_against_health = False
    log_level = logging.WARNING

    def __init__(self, message: str | None = None, *, retry_after: float | None = None, bare: bool = False) -> None:
        super().__init__(message, retry_after=retry_after)
        self.bare = bare
        """The provider did not say when to come back; `retry_after` is our guess."""


class UpstreamRejected(UpstreamError):
    """The provider refuses the request itself (400, 404, 413, 422): its status and sanitised text reach the client."""

    status = 400
    type = "invalid_request_error"
    code = None
    message = "The model provider rejected the request."
    should_retry = False
    retry_same = False
    outcome = "4xx"
    failover = False
    counts_against_health = False
    log_level = logging.INFO

    def __init__(
        self,
        message: str | None = None,
        *,
        upstream_status: int = 400,
        upstream_type: str | None = None,
        upstream_code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self._status, self._type, self._code = upstream_status, upstream_type, upstream_code

    @property
    def public_status(self) -> int:
        return self._status

    @property
    def public_type(self) -> str:
        return self._type or self.type

    @property
    def public_code(self) -> str | None:
        return self._code

    @property
    def reason(self) -> str:
        return "upstream_rejected"


class UnsupportedParameter(UpstreamError):
    """The provider's API cannot say what `param` asks for; the message says what to do instead. Nothing was sent, and
    another deployment may be able to."""

    status = 400
    type = "invalid_request_error"
    code = "unsupported_parameter"
    message = "The model's provider does not support a parameter of this request."
    should_retry = False
    retry_same = False
    outcome = "unsupported"
    counts_against_health = False
    log_level = logging.INFO


class UpstreamContextWindow(UpstreamRejected):
    """The request is larger than this model's context window; a larger one may hold it."""

    message = "The request does not fit into the model's context window."
    outcome = "context_window"
    failover = True
    fallback_on = "context_window"

    @property
    def public_code(self) -> str | None:
        return "context_length_exceeded"

    @property
    def reason(self) -> str:
        return "context_window"


class UpstreamContentFiltered(UpstreamRejected):
    """The provider's content filter refused the request; another provider's may not."""

    message = "The model provider's content filter refused the request."
    outcome = "content_filter"
    failover = True
    fallback_on = "content_filter"

    @property
    def public_code(self) -> str | None:
        return self._code or "content_filter"

    @property
    def reason(self) -> str:
        return "content_filter"
