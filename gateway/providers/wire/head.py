"""Where a provider is, and the head of requests to it."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.ports import UNBOUNDED, Endpoint, RequestHead
from gateway.types import Provider

USER_AGENT = b"llm-gateway"
EVENT_STREAM = b"text/event-stream"

HeaderPairs = list[tuple[bytes, bytes]]


def bearer(provider: Provider, credential: str | None) -> HeaderPairs:
    """`Authorization: Bearer`, when there is a credential."""
    del provider
    return [(b"authorization", b"Bearer " + credential.encode())] if credential else []


def endpoint_at(url: str, provider: Provider) -> tuple[Endpoint, str]:
    """Where a URL of this provider's points, and its path (with the query) without a trailing slash."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    endpoint = Endpoint(
        host=parts.hostname or "",
        port=parts.port or (443 if tls else 80),
        tls=tls,
        ca_file=provider.ca_file,
        private_network=provider.allow_private_network,
        max_connections=provider.concurrency_limit or UNBOUNDED,
        bound_by=provider.name if provider.concurrency_limit else "",
        networks=provider.networks,
    )
    return endpoint, parts.path.rstrip("/") + (f"?{parts.query}" if parts.query else "")


def host_header(endpoint: Endpoint) -> bytes:
    """`Host`, with the port only where it is not the scheme's own."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    default = 443 if endpoint.tls else 80
    return (host if endpoint.port == default else f"{host}:{endpoint.port}").encode(
        "idna" if not host.isascii() else "ascii"
    )


def head_of(provider: Provider, path: str, headers: HeaderPairs) -> RequestHead:
    """A POST to `path` below the provider's base URL. `headers` are the dialect's own, the credential among them; those
    that the operator configured win."""
    endpoint, prefix = endpoint_at(provider.base_url, provider)
    own = {name.lower().encode(): value.encode() for name, value in provider.headers}
    common = [(b"host", host_header(endpoint)), (b"user-agent", USER_AGENT), (b"accept-encoding", b"identity")]
    kept = tuple((name, value) for name, value in (*common, *headers) if name not in own)
    return RequestHead(endpoint, b"POST", (prefix + path).encode(), kept + tuple(own.items()))
