"""Reports as the contract describes them. They are written by hand, so that money keeps every digit."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from gateway.http.admin.shapes import Shown, Stamp


class UsageLine(Shown):
    """The sums of one group; it has the words that were grouped by beside them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    requests: int = Field(description="Attempts that were charged to the caller.")
    attempts: int
    errors: int
    abandoned: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    cost_usd: float
    gateway_cost_usd: float = Field(description="What attempts cost that no caller paid for.")
    unpriced: int = Field(description="Requests whose price is not known: they are not in the cost.")
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None


class UsageReport(Shown):
    """Groups, the dearest first (by time: the oldest first)."""

    group_by: list[str]
    rows: list[UsageLine]
    total: UsageLine
    truncated: bool = Field(description="There are more groups than were asked for; the total counts them.")


class Attempt(Shown):
    """A row of the ledger."""

    model_config = ConfigDict(extra="allow", frozen=True)

    call_id: str
    attempt: int
    request_id: str
    state: str
    started_at: Stamp
    key: str
    team: str | None
    requested_model: str
    provider: str
    deployment: str
    status: int
    reason: str
    cost_usd: float | None


class Attempts(Shown):
    """Part of the ledger."""

    items: list[Attempt]
    next_cursor: str | None
