"""The error tree: every failure a caller can see, with its status, public type and code, and log level.

    GatewayError
    ├── ClientError            the request is at fault; never retried by us
    ├── Refused                the request is fine, we will not serve it now
    └── UpstreamError          a provider failed; `outcome` names how, `failover` says whether another may be tried

Text that a client sees comes from the class or from our own code, never from a foreign exception. Constructing an error
has no side effects.
"""

from __future__ import annotations

import logging
from typing import ClassVar


class GatewayError(Exception):
    """A failure with a public face. `reason` is the label that metrics and the access log use."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = "internal_error"
    message: ClassVar[str] = (
        "The gateway failed to handle this request. Try again; the request id names it in the logs."
    )
    should_retry: ClassVar[bool | None] = None
    log_level: ClassVar[int] = logging.ERROR

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        self.public_message = message or type(self).message
        self.param = param
        self.retry_after = retry_after
        """Seconds until a new try makes sense; sent as `retry-after` and `retry-after-ms`."""
        self.headers: list[tuple[bytes, bytes]] = []
        """Headers that belong to the refusal, such as `x-ratelimit-*`."""
        self.retryable = type(self).should_retry if should_retry is None else should_retry
        super().__init__(self.public_message)

    @property
    def public_status(self) -> int:
        """The HTTP status the client gets."""
        return self.status

    @property
    def public_type(self) -> str:
        """`error.type` in OpenAI's shape."""
        return self.type

    @property
    def public_code(self) -> str | None:
        """`error.code` in OpenAI's shape."""
        return self.code

    @property
    def reason(self) -> str:
        """The bounded label of this failure in metrics and logs."""
        return self.code or self.type


# ---- the client's mistakes -------------------------------------------------------------------------------------------


class ClientError(GatewayError):
    """The request cannot be served as it is; sending it again changes nothing."""

    status = 400
    type = "invalid_request_error"
    code: ClassVar[str | None] = None
    message = "The request is invalid."
    should_retry = False
    log_level = logging.INFO


class InvalidRequest(ClientError):
    """A field is missing, of the wrong type, or not allowed; `param` names it."""

    @property
    def reason(self) -> str:
        return "invalid_request"


class InvalidJson(ClientError):
    """The body is not JSON, or not a JSON object."""

    code = "invalid_json"
    message = "The body could not be parsed as JSON. Send one JSON object, encoded as UTF-8."


class BodyTooLarge(ClientError):
    """The body exceeds `GATEWAY_MAX_BODY_BYTES`."""

    status = 413
    code = "request_too_large"
    message = "The request body is larger than this gateway accepts."


class UnsupportedMedia(ClientError):
    """The content type or content encoding is not accepted on this path."""

    status = 415
    code = "unsupported_media_type"
    message = "This path does not accept the given content type."


class SlowUpload(ClientError):
    """The body came too slowly or stopped coming."""

    status = 408
    code = "request_timeout"
    message = "The request body did not arrive in time."
    should_retry = True


class UnknownPath(ClientError):
    """No endpoint has this path."""

    status = 404
    code = "unknown_url"
    message = "Unknown request URL. Check the path against the API reference."


class MethodNotAllowed(ClientError):
    """The path exists, the method does not; `allow` lists those that do."""

    status = 405
    code = "method_not_supported"
    message = "This method is not allowed on this path."

    def __init__(self, message: str | None = None, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class InvalidApiKey(ClientError):
    """No credential, or none we know."""

    status = 401
    code = "invalid_api_key"
    message = (
        "Incorrect API key provided. Send a key of this gateway as `Authorization: Bearer`, `x-api-key` or `api-key`."
    )


class KeyExpired(InvalidApiKey):
    """The key was ours, and its time is over."""

    message = "This API key has expired. Ask the operator of this gateway for a new one."

    @property
    def reason(self) -> str:
        return "key_expired"


class KeyRevoked(InvalidApiKey):
    """The key was ours and was revoked; also how its open streams end."""

    message = "This API key has been revoked. Ask the operator of this gateway for a new one."

    @property
    def reason(self) -> str:
        return "key_revoked"


class ForbiddenHost(ClientError):
    """Open mode was reached through a foreign Host or Origin."""

    status = 403
    type = "permission_error"
    code = "forbidden_host"
    message = (
        "Without configured keys this gateway serves loopback names only. "
        "Use http://127.0.0.1 or http://localhost, or configure keys."
    )


class ModelAccessDenied(ClientError):
    """The key's `models` list does not hold this model."""

    status = 403
    type = "permission_error"
    code = "model_access_denied"
    message = "This key may not use the requested model."


class ModelNotFound(ClientError):
    """No route and no provider has this model."""

    status = 404
    code = "model_not_found"
    message = (
        "The model does not exist or no configured provider serves it. `GET /v1/models` lists those this key may use."
    )


class RequestExceedsLimit(ClientError):
    """The request alone is larger than a whole bucket: waiting cannot help."""

    code = "request_exceeds_limit"
    message = "This request alone is larger than the limit allows. Lower max_tokens or shorten the input."


class UnpricedModel(ClientError):
    """A budget must be kept and no price is known: what is unknown is never free."""

    code = "unpriced_model"
    message = (
        "No price is known for this model, and this key has a budget to keep. "
        "Use another model, or ask the operator to set `price` or the budget's `unpriced: allow`."
    )


# ---- what we will not serve now --------------------------------------------------------------------------------------


class Refused(GatewayError):
    """The request is valid and could be served at another time."""

    status = 503
    should_retry = True
    log_level = logging.WARNING


class RateLimited(Refused):
    """A rate or concurrency limit binds; `retry_after` is the truth."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    message = "Rate limit reached."
    log_level = logging.INFO

    def __init__(self, message: str | None = None, *, retry_after: float | None = None, limit: str = "") -> None:
        super().__init__(message, retry_after=retry_after)
        self.limit = limit
        """The binding limit, for the log and the metric: `scope:kind`."""


class InsufficientQuota(Refused):
    """A quota or budget is used up until its period ends."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    message = "The quota is used up for this period."
    should_retry = False
    log_level = logging.INFO


class NoUpstream(Refused):
    """No deployment of this model may be tried now."""

    code = "no_upstream"
    message = "No upstream is available for this model at the moment."


class Overloaded(Refused):
    """The gateway has as much in flight as it may."""

    code = "overloaded"
    message = "The gateway is at its capacity. Try again shortly."


class Draining(Refused):
    """The gateway is shutting down."""

    code = "draining"
    message = "The gateway is shutting down. Try again: another instance will answer."
    log_level = logging.INFO


class QuotaUnavailable(Refused):
    """The store of a limit that fails closed cannot be reached."""

    code = "quota_unavailable"
    message = "The limits of this key cannot be checked at the moment."


class LedgerUnavailable(Refused):
    """What this call costs could not be recorded durably: the store of events is away and the local disk refuses."""

    code = "ledger_unavailable"
    message = "Usage cannot be recorded at the moment."


class AuthUnavailable(Refused):
    """The key store cannot be reached and the key is not cached: not the client's fault, so never a 401."""

    code = "auth_unavailable"
    message = "Keys cannot be checked at the moment."


class DeploymentsFull(RateLimited):
    """Every deployment that could serve this is at its provider's limit, as it was configured here."""

    message = "Every deployment of this model is at its own rate limit at the moment."

    def __init__(
        self, message: str | None = None, *, retry_after: float | None = None, final: GatewayError | None = None
    ):
        super().__init__(message, retry_after=retry_after)
        self.final = final
        """What to tell the caller where no waiting helps; None: `retry_after` does."""


class ClientGone(GatewayError):
    """The client left before the answer was complete. Nobody reads this; it is for the log and the metric."""

    status = 499
    code = "client_disconnected"
    message = "The client closed the connection."
    log_level = logging.INFO


# ---- the upstream's failures -----------------------------------------------------------------------------------------


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
    counts_against_health: ClassVar[bool] = True


class UpstreamUnreachable(UpstreamError):
    """No connection: refused, or the name does not resolve."""

    code = "upstream_unreachable"
    message = "The model provider cannot be reached."
    outcome = "connect_refused"


class UpstreamDnsFailed(UpstreamUnreachable):
    """The provider's name does not resolve."""

    outcome = "dns"


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
    """Every connection of this deployment was busy until the deadline."""

    status = 503
    code = "upstream_overloaded"
    message = "All connections to the model provider are in use."
    retry_same = False
    outcome = "pool_timeout"
    counts_against_health = False


class UpstreamTimeout(UpstreamError):
    """No first byte in time, or 408/504 from the provider."""

    status = 504
    code = "upstream_timeout"
    message = "The model provider did not answer in time."
    retry_same = False
    outcome = "ttfb_timeout"
    fallback_on = "timeout"


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


class UpstreamBadResponse(UpstreamError):
    """The answer is not HTTP, not JSON, not an event stream, empty, or a redirect."""

    code = "bad_upstream_response"
    message = "The model provider sent an answer that cannot be understood."
    outcome = "bad_response"


class UpstreamBadEvent(UpstreamBadResponse):
    """An event of a stream cannot be parsed or is too large."""

    outcome = "bad_sse"


class UpstreamTooLarge(UpstreamBadResponse):
    """The answer exceeds what we hold for one request."""

    message = "The model provider's answer is larger than this gateway accepts."
    retry_same = False
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
    counts_against_health = False


class ProviderAuthFailed(UpstreamError):
    """The provider refuses our credential or our account: never the client's 401."""

    code = "provider_auth"
    message = "The gateway's access to the model provider was refused. The operator has to look at its credentials."
    retry_same = False
    outcome = "provider_auth"
    fallback_on = "auth"


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


# ---- the operator's mistakes -----------------------------------------------------------------------------------------


class OperatorError(Exception):
    """Something the operator must change before the gateway can start; the text says what. Printed without a
    traceback."""
