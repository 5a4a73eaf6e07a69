"""One sealed text: `gwv1.<key id>.<base64url of nonce and ciphertext>`, AES-256-GCM.

Version, key id and context are authenticated beside the text, so that a record opens nowhere but in its own row.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.vault.errors import CredentialDamaged

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from gateway.vault.keys import MasterKey

VERSION = "gwv1"
NONCE_BYTES = 12
TAG_BYTES = 16
_TOKEN = re.compile(r"gwv1\.([0-9a-f]{16})\.([A-Za-z0-9_-]+)", re.ASCII)


def seal(key: MasterKey, plain: str, context: str, nonce: bytes | None = None) -> str:
    """Sealed for this context alone; every call makes another text, unless it is given the nonce: only for what is the
    same for everybody who has the key."""
    nonce = secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce
    sealed = _cipher(key.key).encrypt(nonce, plain.encode(), _bound(key.id, context))
    return f"{VERSION}.{key.id}.{_encoded(nonce + sealed)}"


def unseal(key: MasterKey, token: str, context: str) -> str:
    """The text. Raises CredentialDamaged for whatever is not exactly what was sealed with this key for this context."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - loaded where something is sealed

    packed = _packed(token)
    if len(packed) < NONCE_BYTES + TAG_BYTES or key_id_of(token) != key.id:
        raise CredentialDamaged
    try:
        plain = _cipher(key.key).decrypt(packed[:NONCE_BYTES], packed[NONCE_BYTES:], _bound(key.id, context))
        return plain.decode()
    except (InvalidTag, UnicodeDecodeError):
        raise CredentialDamaged from None


def is_sealed(text: str) -> bool:
    """Whether this looks like something that the vault made."""
    return _TOKEN.fullmatch(text) is not None


def key_id_of(token: str) -> str:
    """The key that it says to be sealed with. Raises CredentialDamaged."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise CredentialDamaged
    return found[1]


@lru_cache(maxsize=16)
def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM(key)


def _bound(key_id: str, context: str) -> bytes:
    return f"{VERSION}\0{key_id}\0{context}".encode()


def _encoded(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _packed(token: str) -> bytes:
    """Bytes have one spelling: base64 itself would take several for the last one."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise CredentialDamaged
    text = found[2]
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise CredentialDamaged from None
    if _encoded(packed) != text:
        raise CredentialDamaged
    return packed
