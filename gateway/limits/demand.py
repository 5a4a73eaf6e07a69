"""What one call asks of limits and quotas, and what it turned out to use."""

from __future__ import annotations

import msgspec


class Demand(msgspec.Struct, frozen=True, gc=False):
    """What a call may need, before it is sent. Costs are nano-USD."""

    tokens: int = 0
    """For rates: the estimated input and the output that is expected or allowed."""
    input_tokens: int = 0
    """For quotas of tokens, all but the output: the most of them where a hard quota counts tokens, else an estimate."""
    fixed_cost: int = 0
    """The most that the input, the request itself and its units can cost."""
    output_cost: int = 0
    """The most that one token of output can cost."""
    least: int = 0
    """Output tokens below which the call is not worth sending: all of them where the caller said how many."""
    most: int = 0
    """Output tokens that the call is cut off at, if quotas leave so many."""

    def amounts(self, output: int) -> tuple[int, int, int]:
        """What quotas of requests, tokens and money reserve when `output` tokens are granted."""
        return 1, self.input_tokens + output, self.fixed_cost + output * self.output_cost


class Used(msgspec.Struct, frozen=True, gc=False):
    """What a call used. `requests` is 0 for one that never reached a provider."""

    tokens: int = 0
    cost: int = 0
    """Nano-USD."""
    requests: int = 1

    @property
    def amounts(self) -> tuple[int, int, int]:
        """As quotas of requests, tokens and money count it."""
        return self.requests, self.tokens, self.cost


NOTHING = Used(requests=0)
