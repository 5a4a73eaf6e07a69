"""Passwords: Argon2id, beside the loop, one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.auth.admins import AdminInvalid

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST, LONGEST = 12, 256
"""Characters."""
MEMORY_KIB, ROUNDS, LANES = 47104, 1, 1
"""OWASP's Password Storage Cheat Sheet, the first of its equal settings: 46 MiB each, so one at a time."""


class Passwords:
    """Hashes and compares. A comparison takes as long for a user that is not there."""

    def __init__(self) -> None:
        self._hasher: PasswordHasher | None = None
        self._nobody = ""
        self._one = asyncio.Semaphore(1)

    async def hash(self, password: str) -> str:
        """What is stored of a password. Raises AdminInvalid for one that is too short, or longer than anybody types."""
        check(password)
        async with self._one:
            return await asyncio.to_thread(self._hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether this is the password; None is nobody's."""
        if len(password) > LONGEST:
            return False
        async with self._one:
            return await asyncio.to_thread(self._matches, stored, password)

    def _argon(self) -> PasswordHasher:
        from argon2 import PasswordHasher, Type  # noqa: PLC0415 - the one place that needs it

        if self._hasher is None:
            self._hasher = PasswordHasher(ROUNDS, MEMORY_KIB, LANES, type=Type.ID)
            self._nobody = self._hasher.hash("nobody's password")
        return self._hasher

    def _hash(self, password: str) -> str:
        return self._argon().hash(password)

    def _matches(self, stored: str | None, password: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

        argon = self._argon()
        try:
            # A NUL or a lone surrogate is no password of anybody, and takes as long.
            argon.verify(stored or self._nobody, password.encode("utf-8", "replace"))
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None


def check(password: str) -> None:
    """Raise AdminInvalid for what is no password."""
    if len(password) < SHORTEST:
        raise AdminInvalid("password", f"a password has at least {SHORTEST} characters (use a longer one)")
    if len(password) > LONGEST:
        raise AdminInvalid("password", f"a password has at most {LONGEST} characters (use a shorter one)")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise AdminInvalid("password", "a password is text (leave out what is none)") from None
