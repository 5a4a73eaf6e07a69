"""Any server that speaks OpenAI's API (`custom` in a configuration is the same), whatever it takes for a credential."""

from __future__ import annotations

from dataclasses import replace

from gateway.ports import RequestHead, Token, TokenRequest
from gateway.providers.wire.compatible import CompatibleDialect
from gateway.providers.wire.head import HeaderPairs, bearer
from gateway.providers.wire.tokens import form_request, granted
from gateway.providers.wire.traits import EVERY_CHOICE, Traits
from gateway.types import Call, Deployment, Provider

PLACE = "{api_key}"
"""In the value of a configured header: where the key, or the token, belongs."""


def _templated(provider: Provider) -> bool:
    return any(PLACE in value for _, value in provider.headers)


def _credentials(provider: Provider, credential: str | None) -> HeaderPairs:
    """`Authorization: Bearer`, unless the operator said where the credential belongs."""
    return [] if _templated(provider) else bearer(provider, credential)


def _filled(provider: Provider, credential: str | None) -> Provider:
    """With the credential in its place; without one the headers that want it are left out."""
    kept = provider.headers if credential else tuple(pair for pair in provider.headers if PLACE not in pair[1])
    return replace(provider, headers=tuple((name, value.replace(PLACE, credential or "")) for name, value in kept))


class KeyedDialect(CompatibleDialect):
    """See `CompatibleDialect`. Implements `gateway.ports.TokenDialect`: OAuth 2.0 client credentials (RFC 6749)."""

    def head(self, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """See `gateway.ports.Dialect`."""
        if _templated(deployment.provider):
            return super().head(call, replace(deployment, provider=_filled(deployment.provider, credential)), None)
        return super().head(call, deployment, credential)

    def models_head(self, provider: Provider, credential: str | None) -> RequestHead:
        """The GET that asks for the list of models."""
        if _templated(provider):
            return super().models_head(_filled(provider, credential), None)
        return super().models_head(provider, credential)

    # -- gateway.ports.TokenDialect

    def token_request(self, provider: Provider, now: float) -> TokenRequest | None:
        """See `gateway.ports.TokenDialect`."""
        options = provider.options
        if "token_url" not in options:
            return None
        form = {"grant_type": "client_credentials", "client_id": options["client_id"]}
        form["client_secret"] = options["client_secret"]
        form |= {name: options[name] for name in ("scope", "audience") if name in options}
        return form_request(str(options["token_url"]), form, provider)

    def read_token(self, status: int, body: bytes, now: float) -> Token:
        """See `gateway.ports.TokenDialect`."""
        return granted(status, body, now)


DIALECT = KeyedDialect(
    "openai_compatible", credentials=_credentials, traits=Traits(nulls=True, tool_choice=EVERY_CHOICE)
)
