"""Every failure of redis-py and of the socket, in our words."""

from __future__ import annotations

from redis import exceptions

from gateway.storage.errors import MissingScript, Reason, Redirected, SlotMoving, StoreUnavailable

_BY_CODE: dict[str, Reason] = {
    "READONLY": "readonly",
    "OOM": "oom",
    "LOADING": "loading",
    "MASTERDOWN": "down",
    "CLUSTERDOWN": "down",
    "BUSY": "slow",
}

_BY_CLASS: tuple[tuple[tuple[type[Exception], ...], Reason, str | None], ...] = (
    ((TimeoutError, exceptions.TimeoutError), "slow", ""),
    ((exceptions.BusyLoadingError,), "loading", ""),
    (
        (
            exceptions.AuthenticationError,
            exceptions.AuthorizationError,
            exceptions.AuthenticationWrongNumberOfArgsError,
        ),
        "error",
        "the server refused our credentials",
    ),
    ((OSError, exceptions.ConnectionError, exceptions.ClusterDownError), "down", None),
    ((exceptions.ReadOnlyError,), "readonly", ""),
    ((exceptions.OutOfMemoryError,), "oom", ""),
)
"""Classes, their reason, and what to say; None: the error's own text. The first that fits counts."""


def classify(error: Exception) -> StoreUnavailable:
    """The StoreUnavailable that `error` means; details never hold a credential."""
    if isinstance(error, StoreUnavailable):
        return error
    if isinstance(error, exceptions.NoScriptError):
        return MissingScript("error", "NOSCRIPT")
    if isinstance(error, exceptions.AskError):
        ask = not isinstance(error, exceptions.MovedError)
        return Redirected(int(error.slot_id), error.host, int(error.port), ask=ask)
    if isinstance(error, exceptions.TryAgainError):
        return SlotMoving("error", "TRYAGAIN")
    for classes, reason, detail in _BY_CLASS:
        if isinstance(error, classes):
            return StoreUnavailable(reason, str(error) if detail is None else detail)
    return StoreUnavailable(_reason_in(str(error)), str(error))


def _reason_in(text: str) -> Reason:
    """Redis 6 wraps what a script's command met: `ERR Error running script …: -OOM command not allowed …`."""
    for code, reason in _BY_CODE.items():
        if text.startswith(f"{code} ") or f"-{code} " in text:
            return reason
    return "error"
