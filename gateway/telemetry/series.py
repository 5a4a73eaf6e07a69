"""Where calls of one kind are counted: the rows themselves, found once, so that a call costs no look-up by labels."""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from gateway.telemetry.tallies import Counter, Histogram, Labels
from gateway.types import Receipt, Usage


class Families(msgspec.Struct, frozen=True):
    """What a call that reached a deployment counts in."""

    requests: Counter
    duration: Histogram
    overhead: Histogram
    first_token: Histogram
    per_token: Histogram
    tokens: Histogram
    cost: Counter
    unpriced: Counter


class Series:
    """Calls that share every label. A row comes into being with the first value it holds."""

    __slots__ = ("_call", "_duration", "_families", "_input", "_output", "_overhead", "_request")

    def __init__(self, families: Families, call: Labels, request: Labels) -> None:
        self._families = families
        self._call = call
        self._request = request
        self._duration = families.duration.row(call)
        self._overhead = families.overhead.row(())
        self._input: list[float] | None = None
        self._output: list[float] | None = None
        families.requests.rows.setdefault(request, 0.0)

    def count(self, receipt: Receipt) -> None:
        """One call more."""
        families = self._families
        families.requests.rows[self._request] += 1.0
        seconds, overhead, usage = receipt.seconds, receipt.overhead, receipt.usage
        row = self._duration
        row[bisect_left(families.duration.bounds, seconds)] += 1.0
        row[-1] += seconds
        if overhead is not None:
            row = self._overhead
            row[bisect_left(families.overhead.bounds, overhead)] += 1.0
            row[-1] += overhead
        if receipt.stream and receipt.ttft is not None:
            families.first_token.observe(self._call, receipt.ttft)
            if usage is not None and usage.output_tokens > 1:
                families.per_token.observe(self._call, (seconds - receipt.ttft) / (usage.output_tokens - 1))
        if usage is not None:
            self._count_usage(usage, receipt.cost_nano_usd)

    def _count_usage(self, usage: Usage, cost: int | None) -> None:
        families = self._families
        given, made = self._input, self._output
        if given is None or made is None:
            given = self._input = families.tokens.row((*self._call, "input"))
            made = self._output = families.tokens.row((*self._call, "output"))
        bounds = families.tokens.bounds
        given[bisect_left(bounds, usage.input_tokens)] += 1.0
        given[-1] += usage.input_tokens
        made[bisect_left(bounds, usage.output_tokens)] += 1.0
        made[-1] += usage.output_tokens
        if cost is None:
            families.unpriced.add(())
