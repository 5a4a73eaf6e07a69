"""TLS settings of outgoing connections: always verified, TLS 1.2 or newer."""

from __future__ import annotations

import ssl
from functools import lru_cache

from gateway.errors import UpstreamTlsFailed


@lru_cache(maxsize=64)
def ssl_context(ca_file: str | None) -> ssl.SSLContext:
    """The context that trusts `ca_file`, or the system's authorities. Raises UpstreamTlsFailed for an unusable file."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise UpstreamTlsFailed from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
