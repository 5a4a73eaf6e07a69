"""Azure OpenAI: OpenAI's API at Microsoft's addresses, with a resource's key or an application of Entra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.errors import UpstreamError
from gateway.ports import RequestHead, Token, TokenRequest
from gateway.providers.microsoft.entra import token_request_of
from gateway.providers.microsoft.errors import error_of
from gateway.providers.microsoft.places import deployment_name, place_of
from gateway.providers.wire.head import HeaderPairs, bearer, head_of
from gateway.providers.wire.openai import OpenAIDialect
from gateway.providers.wire.tokens import granted
from gateway.providers.wire.traits import AS_OPENAI
from gateway.types import Body, Call, Deployment, Headers, Provider, Service


def _credentials(provider: Provider, credential: str | None) -> HeaderPairs:
    """A key has a header of its own; what is no key is a token."""
    if credential and provider.api_keys:
        return [(b"api-key", credential.encode())]
    return bearer(provider, credential)


class AzureDialect(OpenAIDialect):
    """See `OpenAIDialect`. Implements `gateway.ports.TokenDialect`."""

    def head(self, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """See `gateway.ports.Dialect`."""
        return self._at(deployment.provider, call.path, credential, deployment_name(deployment))

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """The client's, with the deployment's name for the model."""
        name = deployment_name(deployment)
        return super().body(call, deployment if name == deployment.model else replace(deployment, model=name))

    def models_head(self, provider: Provider, credential: str | None) -> RequestHead:
        """The GET that asks for the list of models."""
        return replace(self._at(provider, "/models", credential), method=b"GET")

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """See `gateway.ports.Dialect`."""
        return error_of(status, headers, body)

    def _at(self, provider: Provider, path: str, credential: str | None, deployment: str = "") -> RequestHead:
        place = place_of(provider, path, deployment)
        return head_of(replace(provider, base_url=place.base_url), place.path, _credentials(provider, credential))

    # -- gateway.ports.TokenDialect

    def token_request(self, provider: Provider, now: float) -> TokenRequest | None:
        """See `gateway.ports.TokenDialect`."""
        return token_request_of(provider)

    def read_token(self, status: int, body: bytes, now: float) -> Token:
        """See `gateway.ports.TokenDialect`."""
        return granted(status, body, now)


DIALECT = AzureDialect(
    "azure",
    services=frozenset(Service) - {Service.MODERATIONS, Service.RERANK},
    chat_cap="max_completion_tokens",
    traits=AS_OPENAI,
)
