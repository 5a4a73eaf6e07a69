"""What a provider's rate limits leave, by the headers of its answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping

_PAIRS = (
    (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests"),
    (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens"),
    (b"anthropic-ratelimit-requests-limit", b"anthropic-ratelimit-requests-remaining"),
    (b"anthropic-ratelimit-tokens-limit", b"anthropic-ratelimit-tokens-remaining"),
    (b"anthropic-ratelimit-input-tokens-limit", b"anthropic-ratelimit-input-tokens-remaining"),
    (b"anthropic-ratelimit-output-tokens-limit", b"anthropic-ratelimit-output-tokens-remaining"),
    (b"x-ratelimit-limit", b"x-ratelimit-remaining"),
    (b"x-tokenlimit-limit", b"x-tokenlimit-remaining"),
    (b"x-requests-limit-rate", b"x-requests-limit-remaining"),
    # By the minute: what is left of a day or a month says little of the next call.
    (b"x-ratelimit-limit-req-minute", b"x-ratelimit-remaining-req-minute"),
    (b"x-ratelimit-limit-req-60-second", b"x-ratelimit-remaining-req-60-second"),
    (b"x-ratelimit-limit-requests-minute", b"x-ratelimit-remaining-requests-minute"),
    (b"x-ratelimit-limit-tokens-minute", b"x-ratelimit-remaining-tokens-minute"),
)
"""Limit and what remains, as OpenAI, Anthropic, simpler providers, Together, watsonx, Mistral, Cerebras name them."""
_REMAINING = dict(_PAIRS)
_SIGNS = frozenset(_REMAINING)


def headroom(headers: Mapping[bytes, bytes]) -> float | None:
    """The share left of the tightest limit, 0 to 1; None where the headers tell nothing."""
    if _SIGNS.isdisjoint(headers):
        return None
    told = _SIGNS.intersection(headers)
    shares = [share for limit in told if (share := _share(headers, limit, _REMAINING[limit])) is not None]
    return min(shares, default=None)


def _share(headers: Mapping[bytes, bytes], limit: bytes, remaining: bytes) -> float | None:
    try:
        most, left = float(headers[limit]), float(headers[remaining])
    except (KeyError, ValueError):
        return None
    # Written so that NaN tells nothing too.
    return min(1.0, max(0.0, left / most)) if most > 0 and left >= 0 else None
