"""Tokens that providers want in place of keys: asked for once, kept while they hold, renewed before they end.

What to ask and how to read the answer is the dialect's (`ports.TokenDialect`); this is the I/O. One request at a time
per provider: callers that come meanwhile wait for the same answer, and one that leaves does not end it for the others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gateway.errors import UpstreamError
from gateway.ports import Deadlines, Engine, Token, TokenDialect, TokenRequest, UpstreamRequest
from gateway.singleflight import SingleFlight
from gateway.types import Provider

EARLY = 300.0
"""Seconds before its end at which a token is renewed, beside the calls that still use it."""
SHORT = 0.2
"""The same as a share of its life, for tokens that live no longer than a few times `EARLY`."""
PAUSE = 10.0
"""Seconds between tries to renew a token that still holds."""
MAX_TOKEN_BYTES = 64 * 1024
MAX_PROVIDERS = 1024

EngineOf = Callable[[Provider], Engine]


class _Kept:
    """What is known of one provider's token."""

    __slots__ = ("plain", "renew_at", "token")

    def __init__(self) -> None:
        self.token: Token | None = None
        self.renew_at = 0.0
        self.plain = False
        """This provider uses its key as it is."""


class Tokens:
    """The tokens of one worker. `now` gives Unix seconds, as tokens do."""

    def __init__(self, engine_of: EngineOf, now: Callable[[], float] = time.time) -> None:
        self._engine_of = engine_of
        self._now = now
        self._kept: dict[Provider, _Kept] = {}
        self._asking: SingleFlight[Provider, Token | None] = SingleFlight()

    def __repr__(self) -> str:
        return f"<Tokens of {len(self._kept)} providers>"

    async def get(self, dialect: TokenDialect, provider: Provider) -> str | None:
        """A token that holds, or None for a provider without one. Raises UpstreamError when none can be had."""
        kept = self._kept.get(provider)
        if kept is None:
            kept = self._remember(provider)
        if kept.plain:
            return None
        token, now = kept.token, self._now()
        if token is None or now >= token.expires_at:
            token = await self._asking.do(provider, lambda: self._fetched(kept, dialect, provider))
            return None if token is None else token.value
        if now >= kept.renew_at and provider not in self._asking:
            kept.renew_at = now + PAUSE
            self._asking.begin(provider, lambda: self._fetched(kept, dialect, provider))
        return token.value

    async def renewed(self, dialect: TokenDialect, provider: Provider, refused: str) -> str | None:
        """Another token than the one that the provider refused, unless somebody has fetched it already."""
        kept = self._kept.get(provider)
        if kept is not None and kept.token is not None and kept.token.value == refused:
            kept.token = None
        return await self.get(dialect, provider)

    def _remember(self, provider: Provider) -> _Kept:
        # A new snapshot brings new providers; those of old ones must not stay for ever.
        if len(self._kept) >= MAX_PROVIDERS:
            self._kept = {owner: kept for owner, kept in self._kept.items() if owner in self._asking}
        kept = self._kept[provider] = _Kept()
        return kept

    async def _fetched(self, kept: _Kept, dialect: TokenDialect, provider: Provider) -> Token | None:
        """None for a provider without one. Raises UpstreamError."""
        request = dialect.token_request(provider, self._now())
        if request is None:
            kept.plain = True
            return None
        token = await self._fetch(dialect, provider, request)
        kept.token = token
        kept.renew_at = token.expires_at - min(EARLY, SHORT * max(0.0, token.expires_at - self._now()))
        return token

    async def _fetch(self, dialect: TokenDialect, provider: Provider, request: TokenRequest) -> Token:
        """Raises UpstreamError."""
        timeouts = provider.timeouts
        at = asyncio.get_running_loop().time() + timeouts.first_byte
        response = await self._engine_of(provider).send(
            UpstreamRequest(request.head, (request.body,)),
            Deadlines(timeouts.connect, timeouts.first_byte, timeouts.idle, at),
        )
        try:
            body = await response.read(MAX_TOKEN_BYTES)
        except UpstreamError:
            response.abort()
            raise
        return dialect.read_token(response.status, body, self._now())
