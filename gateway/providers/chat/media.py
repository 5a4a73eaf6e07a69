"""Pictures and files inside a request: data URIs taken apart, their type told from their first bytes."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from gateway.errors import InvalidRequest

_URI = re.compile(r"data:(?P<kind>[\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*(?P<base64>;base64)?,", re.IGNORECASE)
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)
_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "application/x-pdf": "application/pdf"}
LOOKED_AT = 64
"""Characters of base64 that are looked at."""
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")


class Media(NamedTuple):
    """`kind` is a media type, what the bytes say before what was declared; `data` is base64 text."""

    kind: str
    data: str

    def text(self, param: str) -> str:
        """The content of a text file. Raises InvalidRequest."""
        try:
            return base64.b64decode(self.data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise InvalidRequest(f"`{param}` is not UTF-8 text in base64.", param=param) from None


def media_of(url: str, param: str) -> Media:
    """A `data:` URI, or bare base64. Raises InvalidRequest with `param` for anything else."""
    match = _URI.match(url)
    if match is None and ":" in url[:32]:
        raise InvalidRequest(f"`{param}` must be an http(s) URL or a `data:` URI with base64 data.", param=param)
    data = url if match is None else url[match.end() :]
    if match is not None and not match["base64"]:
        raise InvalidRequest(f"`{param}` must be a `data:` URI with base64 data.", param=param)
    if "\n" in data or " " in data or "\r" in data:
        data = "".join(data.split())
    # Only its start: pictures have megabytes, and the provider reads the rest anyway.
    if _NOT_BASE64.search(data, 0, LOOKED_AT):
        raise InvalidRequest(f"`{param}` is not valid base64.", param=param)
    declared = (match["kind"] or "").lower() if match is not None else ""
    return Media(kind_of(data) or _ALIASES.get(declared, declared), data)


def kind_of(data: str) -> str:
    """The media type that the first bytes tell; clients declare wrong ones, and providers refuse those."""
    head = data[:LOOKED_AT]
    try:
        start = base64.b64decode(head[: len(head) // 4 * 4])
    except (binascii.Error, ValueError):
        return ""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if start.startswith(magic)), "")
