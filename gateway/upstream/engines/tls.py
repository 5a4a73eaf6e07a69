"""TLS settings of outgoing connections: always verified, TLS 1.2 or newer."""

from __future__ import annotations

import ssl
from functools import lru_cache

import structlog

from gateway.errors import UpstreamTlsFailed

_log = structlog.stdlib.get_logger("gateway.upstream")


@lru_cache(maxsize=64)
def ssl_context(ca_file: str | None) -> ssl.SSLContext:
    """The context that trusts `ca_file`, or the system's authorities. Raises UpstreamTlsFailed for an unusable file;
    the log names it and what is wrong with it."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        _log.error("ca_file_unusable", ca_file=ca_file, reason=getattr(error, "strerror", None) or str(error))
        raise UpstreamTlsFailed from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
