"""The signature of a webhook's POST, as https://www.standardwebhooks.com has it. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac

ENCODED = "whsec_"
"""A secret that begins so is base64 after it; any other is taken as it is written."""

Headers = tuple[tuple[bytes, bytes], ...]


def key_of(secret: str) -> bytes:
    """The bytes that sign."""
    if secret.startswith(ENCODED):
        try:
            return base64.b64decode(secret.removeprefix(ENCODED), validate=True)
        except binascii.Error:
            pass  # then it is a text like another
    return secret.encode()


def signature_of(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over id, time and body, with dots between them."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return f"v1,{base64.b64encode(hmac.digest(key_of(secret), signed, 'sha256')).decode()}"


def headers_of(secret: str | None, message_id: str, timestamp: int, body: bytes) -> Headers:
    """Of one try: the id is the same for every try, so that receivers tell a repetition from a new message."""
    found = ((b"webhook-id", message_id.encode()), (b"webhook-timestamp", b"%d" % timestamp))
    if secret is None:
        return found
    return (*found, (b"webhook-signature", signature_of(secret, message_id, timestamp, body).encode()))
