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

    __slots__ = ("asking", "plain", "renew_at", "token")

    def __init__(self) -> None:
        self.token: Token | None = None
        self.renew_at = 0.0
        self.asking: asyncio.Task[Token] | None = None
        self.plain = False
        """This provider uses its key as it is."""


class Tokens:
    """The tokens of one worker. `now` gives Unix seconds, as tokens do."""

    def __init__(self, engine_of: EngineOf, now: Callable[[], float] = time.time) -> None:
        self._engine_of = engine_of
        self._now = now
        self._kept: dict[Provider, _Kept] = {}

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
            return await self._asked(kept, dialect, provider)
        if now >= kept.renew_at and kept.asking is None:
            kept.renew_at = now + PAUSE
            self._ask(kept, dialect, provider)
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
            self._kept = {owner: kept for owner, kept in self._kept.items() if kept.asking is not None}
        kept = self._kept[provider] = _Kept()
        return kept

    async def _asked(self, kept: _Kept, dialect: TokenDialect, provider: Provider) -> str | None:
        task = kept.asking or self._ask(kept, dialect, provider)
        if task is None:
            return None
        # Shielded: whoever waits may leave, the answer is for everyone.
        return (await asyncio.shield(task)).value

    def _ask(self, kept: _Kept, dialect: TokenDialect, provider: Provider) -> asyncio.Task[Token] | None:
        request = dialect.token_request(provider, self._now())
        if request is None:
            kept.plain = True
            return None
        task = kept.asking = asyncio.ensure_future(self._fetched(kept, dialect, provider, request))
        task.add_done_callback(_heard)
        return task

    async def _fetched(self, kept: _Kept, dialect: TokenDialect, provider: Provider, request: TokenRequest) -> Token:
        """What is fetched is kept before the task is done: who looks then must not meet it once more. Raises
        UpstreamError."""
        try:
            token = await self._fetch(dialect, provider, request)
        finally:
            kept.asking = None
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


def _heard(task: asyncio.Task[Token]) -> None:
    """A renewal that failed is nobody's loss: the next call tries again."""
    if not task.cancelled():
        task.exception()
