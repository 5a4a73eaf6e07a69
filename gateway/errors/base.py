"""What every failure has: a status, a public type and code, a log level."""

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
        self.route: str | None = None
        """The route that could not take the call, where one was found for it."""
        self.left_out: tuple[tuple[str, str], ...] = ()
        """That route's deployments, each with why it was left out."""
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


class OperatorError(Exception):
    """Something the operator must change before the gateway can start; the text says what. Printed without a
    traceback."""


def let_go(error: BaseException | None) -> None:
    """Drop the traceback, cause and context of an error that was dealt with, and so the frames that they hold.

    Else a frame that holds its own error forms a reference cycle, which only the garbage collector can free, and while
    that runs every call has to wait.
    """
    while error is not None:
        before = error.__cause__ or error.__context__
        error.__traceback__ = error.__cause__ = error.__context__ = None
        error = before
