"""Why a key cannot be made or changed, for whoever has to say it in words of its own."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import OperatorError


class NoSuchKey(OperatorError):
    """No key of this name was made at run time."""

    def __init__(self, message: str, name: str, known: Sequence[str]) -> None:
        super().__init__(message)
        self.name = name
        self.known = known


class KeyNameTaken(OperatorError):
    """Another key has this name, or had it."""

    def __init__(self, message: str, *, revoked: bool) -> None:
        super().__init__(message)
        self.revoked = revoked


class KeyNotActive(OperatorError):
    """The key is over; `state` says how."""

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


class KeyChanged(OperatorError):
    """The key is at another revision than the one that was to be changed."""


class DraftRejected(OperatorError):
    """What was asked for is no key: each complaint by the field it is about."""

    def __init__(self, complaints: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{place}: {message}" for place, message in complaints))
        self.complaints = tuple(complaints)
