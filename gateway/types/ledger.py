"""An attempt as the ledger keeps it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.types.calls import TokenSource


class LedgerState(StrEnum):
    """What became of an attempt's charge."""

    SETTLED = "settled"
    """Charged to the key: the attempt that answered."""
    RELEASED = "released"
    """Not charged to the key; a cost that stands there is the gateway's own."""
    ABANDONED = "abandoned"
    """Its worker died: charged with what was known last."""


MAX_TEXT = 512


MAX_TOKENS = 2**40 - 1


MAX_COST = 2**53 - 1
"""Nine million dollars for one attempt."""


MAX_REAL = 1e12


MAX_SMALL = 2**15 - 1


LAST_MOMENT = 253_402_300_799_999_999
"""The end of the year 9999, where calendars end."""


ShortText = Annotated[str, Meta(max_length=MAX_TEXT)]


SmallCount = Annotated[int, Meta(ge=0, le=MAX_SMALL)]


TokenCount = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]


Measure = Annotated[float, Meta(ge=0, le=MAX_REAL)]


class LedgerRow(msgspec.Struct, array_like=True, gc=False):
    """One attempt as the ledger keeps it; unique by (call_id, attempt). On its way to SQL it is msgpack, an array in
    the order of these fields: new fields go to the end. What does not keep to these bounds is cut to them first."""

    call_id: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    attempt: SmallCount
    request_id: ShortText
    state: LedgerState
    started_at: Annotated[int, Meta(ge=0, le=LAST_MOMENT)]
    """Unix microseconds."""
    key: ShortText
    team: ShortText | None
    user_hash: ShortText | None
    route: ShortText
    service: ShortText
    requested_model: ShortText
    provider: ShortText
    deployment: ShortText
    model: ShortText
    """The one that served, as the provider calls it."""
    stream: bool
    status: SmallCount
    """What the client got; of a failed attempt, what it would have got."""
    reason: ShortText
    """`ok`, or the failure's label."""
    input_tokens: TokenCount = 0
    output_tokens: TokenCount = 0
    cached_input_tokens: TokenCount = 0
    cache_write_tokens: TokenCount = 0
    reasoning_tokens: TokenCount = 0
    audio_input_tokens: TokenCount = 0
    audio_output_tokens: TokenCount = 0
    units: Measure = 0.0
    token_source: TokenSource = TokenSource.PROVIDER
    cost_nano_usd: Annotated[int, Meta(ge=0, le=MAX_COST)] | None = None
    """None: the price is not known."""
    price_version: ShortText | None = None
    ttft_ms: Measure | None = None
    duration_ms: Measure = 0.0
    config_revision: ShortText = ""
    provider_type: ShortText = ""
    """For prices that are looked up again."""
    cache_write_1h_tokens: TokenCount = 0
    """Included in `cache_write_tokens`."""
    upstream_requests: TokenCount = 1
    """How many the provider got for it: a call of many inputs is split."""
    service_tier: ShortText = ""
    """What the provider said it served it at, where that is not its ordinary tier."""
    searches: TokenCount = 0
    """How many it ran for the answer."""
