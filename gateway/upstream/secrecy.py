"""What a provider's own words must not carry to a client: our credential there, and where it is."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.errors import UpstreamError, UpstreamRejected
from gateway.types import Provider

HIDDEN = "[redacted]"
_SHORTEST = 8
"""Characters; a shorter known value would blank ordinary words."""


def without_secrets(error: UpstreamError, provider: Provider) -> UpstreamError:
    """The same error without this provider's keys, header values, own settings and address in what clients see.

    Only `UpstreamRejected` carries foreign text. Patterns (`wire/errors.py`) took out what looks like a secret; this
    takes out what is known to be one.
    """
    if not isinstance(error, UpstreamRejected):
        return error
    own = [value for value in provider.options.values() if isinstance(value, str)]
    keys = (*provider.api_keys, *provider.spare_keys)
    known = [*keys, *(value for _, value in provider.headers), *own, urlsplit(provider.base_url).netloc]
    known = sorted((value for value in known if len(value) >= _SHORTEST), key=len, reverse=True)

    def clean(text: str | None) -> str | None:
        return None if text is None or any(value in text for value in known) else text

    message = error.public_message
    for value in known:
        message = message.replace(value, HIDDEN)
    return type(error)(
        message,
        upstream_status=error.public_status,
        upstream_type=clean(error.public_type),
        upstream_code=clean(error.public_code),
        param=clean(error.param),
    )
