"""Acme's models: OpenAI's chat API with a tenant in a header, and errors of its own."""

from __future__ import annotations

import json

from gateway.errors import UpstreamError, UpstreamRateLimited
from gateway.ports import Setting
from gateway.providers.wire.openai import OpenAIDialect
from gateway.types import Headers, Provider, Service


def _credentials(provider: Provider, credential: str | None) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-acme-tenant", str(provider.options["tenant"]).encode())]
    if credential is not None:
        headers.append((b"x-acme-key", credential.encode()))
    return headers


class AcmeDialect(OpenAIDialect):
    """What differs from OpenAI's API."""

    base_url = "https://api.acme.example/v1"
    settings = (Setting("tenant", "Your tenant at Acme.", required=True),)

    def __init__(self) -> None:
        super().__init__("acme", credentials=_credentials, services=frozenset({Service.CHAT, Service.EMBEDDINGS}))

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """Acme says with a 400 that there were too many requests, and for how long that is so."""
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if status == 400 and isinstance(told, dict) and told.get("acme_error") == "slow_down":
            return UpstreamRateLimited(retry_after=float(told.get("wait_seconds", 5)))
        return super().error(status, headers, body)


DIALECT = AcmeDialect()
