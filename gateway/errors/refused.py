"""What we will not serve now."""

from __future__ import annotations

import logging

from gateway.errors.base import GatewayError


class Refused(GatewayError):
    """The request is valid and could be served at another time."""

    status = 503
    should_retry = True
    log_level = logging.WARNING


class RateLimited(Refused):
    """A rate or concurrency limit binds; a try after `retry_after` seconds is admitted if nobody else took the room."""

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
        self,
        message: str | None = None,
        *,
        retry_after: float | None = None,
        final: GatewayError | None = None,
        busy: bool = False,
    ):
        super().__init__(message, retry_after=retry_after)
        self.busy = busy
        """It is the number of calls at once that binds: waiting in turn helps."""
        self.final = final
        """What to tell the caller where no waiting helps; None: `retry_after` does."""


class ClientGone(GatewayError):
    """The client left before the answer was complete. Nobody reads this; it is for the log and the metric."""

    status = 499
    code = "client_disconnected"
    message = "The client closed the connection."
    log_level = logging.INFO


class DeadlineExceeded(GatewayError):
    """The time that the client allowed (`x-request-timeout`, or its SDK's header) is over: no provider's fault."""

    status = 504
    code = "deadline_exceeded"
    message = "The answer did not come within the time that the request allows for it."
    should_retry = False
    log_level = logging.INFO
