"""Master keys, and what is made of ENCRYPTION_KEY: a Fernet key as it is, a passphrase through PBKDF2.

Everything here is the standard library's: a worker that has nothing sealed loads no cryptography.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.settings import Settings

ITERATIONS = 600_000
"""Of PBKDF2-HMAC-SHA256: OWASP's Password Storage Cheat Sheet, 2023."""
SALT_BYTES = 16
KEY_BYTES = 32
SHORTEST = 12
"""Characters of a passphrase."""
FILE = "encryption.key"
"""In the data directory: made where nobody gave a key and the database is the embedded one."""
_FERNET = re.compile(r"[A-Za-z0-9_-]{43}=")
_SEPARATOR = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A key for AES-256-GCM, and its name, which stands in everything that it seals and tells nothing of it."""

    id: str
    key: bytes = field(repr=False)


def split(text: str) -> tuple[str, ...]:
    """The keys that an ENCRYPTION_KEY lists, the first one seals. A comma inside a passphrase is written `\\,`."""
    return tuple(part.strip().replace("\\,", ",") for part in _SEPARATOR.split(text) if part.strip())


def key_texts(settings: Settings) -> tuple[str, ...]:
    """The keys as they were given, the one that seals first; none without a key. Raises OperatorError for one that is
    too easy to guess.

    A key that was generated into the data directory still opens once there is one in the environment.
    """
    given = () if settings.encryption_key is None else split(settings.encryption_key.get_secret_value())
    for text in given:
        if len(text) < SHORTEST:
            raise OperatorError(
                f"ENCRYPTION_KEY: a passphrase has at least {SHORTEST} characters (use a long one, or the output of "
                "`openssl rand -base64 32 | tr '+/' '-_'`)"
            )
    if not given and settings.database_url is not None:
        return ()  # replicas share the database, and not this directory
    kept = _kept(settings.data_dir / FILE)
    return given if kept is None or kept in given else (*given, kept)


def make_key(settings: Settings) -> None:
    """Keep a new key in the data directory where state is embedded and nobody gave one; once there is one, it stays.

    Raises OperatorError when it cannot be written.
    """
    if settings.encryption_key is not None or settings.database_url is not None:
        return
    path = settings.data_dir / FILE
    if path.exists():
        return
    fresh = path.with_name(f".{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # somebody else was first: theirs it is
            os.link(fresh, path)
    except OSError as error:
        raise OperatorError(
            f"The encryption key cannot be kept in {path} ({error.strerror}). "
            "Make the data directory writable, or set ENCRYPTION_KEY."
        ) from None
    finally:
        fresh.unlink(missing_ok=True)


def _kept(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"The encryption key in {path} cannot be read ({type(error).__name__}).") from None


def master_key(text: str, salt: bytes) -> MasterKey:
    """The key that this text stands for; a passphrase takes a good part of a second the first time."""
    root = _fernet(text)
    root = _stretched(text, salt) if root is None else root
    return MasterKey(_derived(root, b"gateway vault key id")[:8].hex(), _derived(root, b"gateway vault aes-256-gcm"))


def _fernet(text: str) -> bytes | None:
    if _FERNET.fullmatch(text) is None:
        return None
    try:
        return base64.urlsafe_b64decode(text)
    except binascii.Error:  # pragma: no cover - the pattern admits none
        return None


@lru_cache(maxsize=16)
def _stretched(text: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", text.encode(), salt, ITERATIONS, KEY_BYTES)


def _derived(root: bytes, purpose: bytes) -> bytes:
    """HKDF-SHA256 with one block (RFC 5869): the root is used for nothing itself."""
    extracted = hmac.digest(b"gateway vault v1", root, "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")
