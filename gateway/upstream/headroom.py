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
    (b"x-requests-limit-rate", b"x-requests-limit-remaining"),
)
"""Limit and what remains, as OpenAI, Anthropic, simpler providers and watsonx name them."""
_SIGNS = frozenset(limit for limit, _ in _PAIRS)


def headroom(headers: Mapping[bytes, bytes]) -> float | None:
    """The share left of the tightest limit, 0 to 1; None where the headers tell nothing."""
    if _SIGNS.isdisjoint(headers):
        return None
    shares = [share for pair in _PAIRS if (share := _share(headers, *pair)) is not None]
    return min(shares, default=None)


def _share(headers: Mapping[bytes, bytes], limit: bytes, remaining: bytes) -> float | None:
    try:
        most, left = float(headers[limit]), float(headers[remaining])
    except (KeyError, ValueError):
        return None
    # Written so that NaN tells nothing too.
    return min(1.0, max(0.0, left / most)) if most > 0 and left >= 0 else None
