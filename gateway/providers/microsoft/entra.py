"""Microsoft Entra: an application's secret in exchange for a token (OAuth 2.0 client credentials)."""

from __future__ import annotations

from urllib.parse import quote

from gateway.ports import TokenRequest
from gateway.providers.wire.tokens import form_request
from gateway.types import Provider

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://cognitiveservices.azure.com/.default"
_NEEDED = ("tenant_id", "client_id", "client_secret")


def token_request_of(provider: Provider) -> TokenRequest | None:
    """What to ask for; None for a provider that has a key, or lacks part of an application's credentials."""
    options = provider.options
    tenant, client, secret = (str(options.get(name) or "") for name in _NEEDED)
    if provider.api_keys or not (tenant and client and secret):
        return None
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": secret,
        "scope": str(options.get("scope") or SCOPE),
    }
    authority = str(options.get("authority") or AUTHORITY).rstrip("/")
    return form_request(f"{authority}/{quote(tenant, safe='')}/oauth2/v2.0/token", form, provider)
