"""What estimates of tokens are worth at each deployment: learnt from the answers whose usage the provider told.

Bytes say little of tokens by themselves: a schema, Chinese or a picture has other weights than English, and every model
its own words. What a provider counted, over what was estimated of the same call, corrects the next estimate there.
Only what nobody counted is booked by it; what is reserved beforehand stays a bound.
"""

from __future__ import annotations

import msgspec

from gateway.types import Usage

MEMORY = 0.97
"""What a call still weighs after the next one."""
MOST = 8.0
"""How far an estimate is corrected at most, either way."""
OFTEN, SELDOM = 32, 16
"""So many calls of a deployment are learnt from, then one in so many."""
MAX_DEPLOYMENTS = 10_000


class Weights(msgspec.Struct, gc=False):
    """Sums, decayed, of what was estimated and what was told."""

    calls: int = 0
    estimated_input: float = 0.0
    told_input: float = 0.0
    estimated_output: float = 0.0
    told_output: float = 0.0


class Calibration:
    """Corrects estimates, deployment by deployment. No I/O, no clock."""

    def __init__(self) -> None:
        self._known: dict[str, Weights] = {}

    def wanted(self, deployment: str) -> bool:
        """Whether to learn from one more call."""
        weights = self._known.get(deployment)
        if weights is None:
            if len(self._known) >= MAX_DEPLOYMENTS:
                self._known.clear()
            weights = self._known[deployment] = Weights()
        weights.calls += 1
        return weights.calls <= OFTEN or not weights.calls % SELDOM

    def learn(self, deployment: str, estimate: Usage, told: Usage) -> None:
        """A call was estimated so, and the provider told so. Without an output to compare only the input counts."""
        weights = self._known.setdefault(deployment, Weights())
        if estimate.input_tokens and told.input_tokens:
            weights.estimated_input = MEMORY * weights.estimated_input + estimate.input_tokens
            weights.told_input = MEMORY * weights.told_input + told.input_tokens
        if estimate.output_tokens and told.output_tokens:
            weights.estimated_output = MEMORY * weights.estimated_output + estimate.output_tokens
            weights.told_output = MEMORY * weights.told_output + told.output_tokens

    def corrected(self, deployment: str, estimate: Usage) -> Usage:
        """The estimate as the provider would probably count it."""
        weights = self._known.get(deployment)
        if weights is None:
            return estimate
        given = _scaled(estimate.input_tokens, weights.estimated_input, weights.told_input)
        return Usage(given, _scaled(estimate.output_tokens, weights.estimated_output, weights.told_output))


def _scaled(tokens: int, estimated: float, told: float) -> int:
    if not tokens or not estimated:
        return tokens
    return max(1, round(tokens * min(MOST, max(1 / MOST, told / estimated))))
