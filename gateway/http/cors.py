"""Pages in browsers (the Fetch standard's CORS): whose pages may call the API, and what a browser has to hear of it.

A browser asks first, by a preflight without credentials, and keeps from the page what does not name its origin. Keys go
in a header that the page itself sets, so nothing here concerns cookies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gateway.http.cycle import Cycle
from gateway.http.openmode import refuse_foreign

ANYBODY = "*"
METHODS = b"GET, HEAD, POST"
MAX_AGE = b"600"
"""Seconds for which a browser remembers the answer to a preflight."""
_ASKS = b"access-control-request-method"
_ASKED = b"access-control-request-headers"
_NAMES = re.compile(rb"[A-Za-z0-9\-_, ]{1,2000}")


class Cors:
    """The rule. In open mode pages of this machine may call, whatever `origins` says, and no others."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        """`origins` as browsers write them, or `*`."""
        self._origins = frozenset(origin.encode() for origin in origins)
        self._anybody = ANYBODY.encode() in self._origins

    def heed(self, cycle: Cycle, origin: bytes, *, open_mode: bool) -> bool:
        """Have the browser told that the page may read the answer, if it may; whether that was all there is to do.
        Raises ForbiddenHost for what open mode refuses."""
        headers = cycle.headers
        if open_mode:
            refuse_foreign(headers)  # whoever passes is of this machine
        elif not (self._anybody or origin in self._origins):
            return False
        cycle.beside = _READABLE % (b"*" if self._anybody else origin)
        if cycle.method != "OPTIONS" or _ASKS not in headers:
            return False
        cycle.reply(204, [], b"", _preflight(headers))
        return True


_READABLE = b"access-control-allow-origin: %b\r\naccess-control-expose-headers: *\r\nvary: origin\r\n"


def _preflight(headers: Mapping[bytes, bytes]) -> bytes:
    """Whatever headers the page wants to send it may: SDKs have their own, and what they mean is decided by what is
    served."""
    asked = headers.get(_ASKED, b"")
    lines = b"access-control-allow-methods: %b\r\naccess-control-max-age: %b\r\n" % (METHODS, MAX_AGE)
    if _NAMES.fullmatch(asked) is not None:
        lines += b"access-control-allow-headers: %b\r\n" % asked
    return lines
