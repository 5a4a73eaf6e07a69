"""What Cohere counts: every token, and those that it bills.

Most models have a preamble of their own, hundreds of tokens that are counted and not billed. What the caller sent and
is charged for is the billed count; the counted one stands in where nothing is said of a bill.
"""

from __future__ import annotations

import msgspec

from gateway.providers.wire.usage import MOST
from gateway.types import Usage


class Tokens(msgspec.Struct, gc=False):
    """Counts, which Cohere tells as floats."""

    input_tokens: float | None = None
    output_tokens: float | None = None
    image_tokens: float | None = None
    search_units: float | None = None


class WireUsage(msgspec.Struct, gc=False):
    """`usage` of a chat."""

    billed_units: Tokens | None = None
    tokens: Tokens | None = None
    cached_tokens: float | None = None

    def counted(self) -> Usage | None:
        """In our terms; None where nothing is told."""
        billed, tokens = self.billed_units or _NONE, self.tokens or _NONE
        given = _first(billed.input_tokens, tokens.input_tokens)
        made = _first(billed.output_tokens, tokens.output_tokens)
        if given is None and made is None:
            return None
        read = _count(given)
        # The cache holds beginnings of prompts, and the preamble stands first: what is not billed was cached first.
        unbilled = max(0, _count(tokens.input_tokens) - read)
        return Usage(read, _count(made), max(0, min(read, _count(self.cached_tokens) - unbilled)))


class Meta(msgspec.Struct, gc=False):
    """`meta` of embeddings."""

    billed_units: Tokens | None = None

    def counted(self) -> Usage | None:
        """Texts and pictures alike; None where nothing is told."""
        units = self.billed_units
        if units is None or (units.input_tokens is None and units.image_tokens is None):
            return None
        return Usage(_count(units.input_tokens) + _count(units.image_tokens))


_NONE = Tokens()


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _count(value: float | None) -> int:
    return int(min(value, MOST)) if value and value > 0 else 0
