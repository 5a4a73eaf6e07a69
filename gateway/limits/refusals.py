"""What a caller is told when a limit binds: which one, and when to come back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from gateway.errors import GatewayError, InsufficientQuota, RateLimited, RequestExceedsLimit
from gateway.limits.demand import Demand
from gateway.limits.limitset import EXHAUSTED, HARD, MEASURES, RESERVED, STATE, THROTTLE, Frame, LimitSet, go_duration
from gateway.limits.periods import FOREVER, Period
from gateway.types import LimitSpec, QuotaSpec

RESERVED_WAIT = 1.0
"""Seconds after which what calls under way had reserved may be free again."""
_PERIODS = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}


class Downgrade(Exception):
    """A quota that switches to another model is used up: plan the call again, for `model`."""

    def __init__(self, model: str, refusal: GatewayError) -> None:
        super().__init__(model)
        self.model = model
        self.refusal = refusal
        """What to tell the caller if that does not help."""


def refusal(limits: LimitSet, frame: Frame, reply: Sequence[float], demand: Demand | None = None) -> Exception:
    """What to raise for a reply that does not admit; Downgrade where the binding quota says so."""
    row = int(reply[1]) - 1
    spec = limits.spec_of(row)
    headers = limits.headers(reply) if len(reply) > STATE else []
    error: GatewayError
    if isinstance(spec, QuotaSpec) and limits.rows[row][0] != THROTTLE:
        error = _of_quota(spec, reply, frame.periods[row], demand)
    elif isinstance(spec, QuotaSpec):
        error = _throttled(spec, reply[2] / 1e6)
    else:
        error = _of_limit(spec, reply[2] / 1e6)
    error.headers = [*headers]
    if isinstance(spec, QuotaSpec) and spec.action == "downgrade" and spec.downgrade_to and spec.action in HARD:
        return Downgrade(spec.downgrade_to, error)
    return error


def _of_quota(spec: QuotaSpec, reply: Sequence[float], period: Period | None, demand: Demand | None) -> GatewayError:
    amount, verdict = amount_of(spec), int(reply[0])
    if verdict == RESERVED:
        # A rate may bind for longer: who comes back before that is only sent away again.
        wait = max(RESERVED_WAIT, reply[2] / 1e6)
        return RateLimited(
            f"What is left of {_who(spec)}'s quota of {amount} is reserved by requests under way. "
            f"Try again in {go_duration(wait * 1e6).decode()}, or lower max_tokens.",
            retry_after=wait,
            limit=f"{spec.scope}:{spec.kind}",
        )
    assert verdict == EXHAUSTED
    if demand is not None and demand.amounts(demand.least)[MEASURES[spec.kind] - 1] > spec.amount:
        # No renewal helps: said, so that nobody waits for one.
        return InsufficientQuota(
            f"This request alone may need more than the whole of {_who(spec)}'s quota of {amount}. "
            "Lower max_tokens or shorten the input."
        )
    renewed = ""
    if period is not None and period.end < FOREVER:
        at = datetime.fromtimestamp(period.end, UTC).astimezone(ZoneInfo(spec.zone))
        renewed = f" It is renewed at {at.isoformat(timespec='seconds')}."
    return InsufficientQuota(f"{_who(spec).capitalize()}'s quota of {amount} does not allow this request.{renewed}")


def _throttled(spec: QuotaSpec, wait: float) -> RateLimited:
    assert spec.throttle is not None
    rate = spec.throttle
    return RateLimited(
        f"{_who(spec).capitalize()}'s quota of {amount_of(spec)} is used up; until it is renewed {rate.count} "
        f"requests per {period_name(rate.period)} are served. Try again in {go_duration(wait * 1e6).decode()}.",
        retry_after=wait,
        limit=f"{spec.scope}:throttle",
    )


def _of_limit(spec: LimitSpec, wait: float) -> RateLimited:
    what = (
        f"{spec.count} {spec.kind} per {period_name(spec.period * spec.count / spec.capacity)}"
        if spec.period
        else f"{spec.capacity} requests at once"
    )
    return RateLimited(
        f"Rate limit reached: {_who(spec)} allows {what}. Try again in {go_duration(wait * 1e6).decode()}.",
        retry_after=wait,
        limit=f"{spec.scope}:{spec.kind}",
    )


def oversized(limits: LimitSet, tokens: int) -> RequestExceedsLimit:
    """The refusal of a call that is larger than a whole bucket."""
    spec = next(
        member.spec
        for member in limits.members
        if isinstance(member.spec, LimitSpec) and member.spec.kind == "tokens" and tokens > member.spec.capacity
    )
    return RequestExceedsLimit(
        f"This request needs about {tokens} tokens, more than the {spec.scope}'s limit of {spec.capacity} "
        "holds. Lower max_tokens or shorten the input."
    )


def _who(spec: LimitSpec | QuotaSpec) -> str:
    return "this gateway" if spec.scope == "global" else f"this {spec.scope}"


def quota_warning(spec: QuotaSpec, used: int) -> list[tuple[bytes, bytes]]:
    """The header that says how much of a quota is used; of what the operator spends where callers hear nothing."""
    if spec.scope in ("provider", "deployment"):
        return []
    text = f"{spec.scope} {spec.kind} per {spec.period}: {100 * used / max(1, spec.amount):.0f} % used"
    return [(b"x-gateway-quota-warning", text.encode())]


def amount_of(spec: QuotaSpec) -> str:
    """`$100 a month`, `5000000 tokens a day`, `10 requests in total`."""
    when = "in total" if spec.period == "total" else f"a {spec.period}"
    if spec.kind == "cost":
        return f"${spec.amount / 1e9:.10g} {when}"
    return f"{spec.amount} {spec.kind} {when}"


def period_name(seconds: float) -> str:
    """`minute` for 60, and so on; other lengths in seconds."""
    return _PERIODS.get(seconds, f"{seconds:g} s")
