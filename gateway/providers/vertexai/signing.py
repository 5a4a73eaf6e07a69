"""Signatures with RSA and SHA-256, as JSON web tokens have them (RFC 7518, 3.3)."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def rs256(key: str, data: bytes) -> bytes:
    """The signature by a private key in PEM. Raises ValueError for what is no RSA key."""
    try:
        private = load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("no private key") from None
    if not isinstance(private, RSAPrivateKey):
        raise ValueError("no RSA key")
    return private.sign(data, PKCS1v15(), SHA256())
