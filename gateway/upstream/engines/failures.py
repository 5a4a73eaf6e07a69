"""What foreign exceptions mean: the border between sockets and TLS on one side and our error tree on the other."""

from __future__ import annotations

import errno
import socket
import ssl

from gateway.errors import (
    UpstreamConnectTimeout,
    UpstreamDnsFailed,
    UpstreamError,
    UpstreamNoSocket,
    UpstreamTlsFailed,
    UpstreamUnreachable,
)

BROKEN = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""How the `ssl` module says that the connection below it ended."""
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What this machine lacks; no packet has left it."""


def connect_failure(error: Exception) -> UpstreamError:
    """What an exception while connecting stands for. A connection that breaks during a handshake says nothing about
    certificates: it failed as one that breaks before."""
    if isinstance(error, UpstreamError):
        return error
    if isinstance(error, OSError) and error.errno in OURS and not isinstance(error, ssl.SSLError):
        return UpstreamNoSocket(retry_after=1.0)
    if isinstance(error, BROKEN):
        return UpstreamUnreachable()
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return UpstreamTlsFailed()
    if isinstance(error, socket.gaierror | UnicodeError):
        # A name that cannot even be encoded for DNS raises UnicodeError.
        return UpstreamDnsFailed()
    if isinstance(error, TimeoutError):
        return UpstreamConnectTimeout()
    return UpstreamUnreachable()


def root_cause(error: BaseException) -> Exception:
    """The first exception of a chain that says what happened: libraries wrap it several times, or drop it."""
    seen: BaseException | None = error
    found = error
    while seen is not None:
        if isinstance(seen, BaseExceptionGroup):
            seen = seen.exceptions[0]
        if isinstance(seen, OSError | UnicodeError):
            found = seen
        seen = seen.__cause__ or seen.__context__
    return found if isinstance(found, Exception) else ConnectionError()
