"""Values that every room shares: what was asked, by whom, where it may go, and what came of it. No I/O, no behaviour.

What is configured is a frozen dataclass. What is made for every request is a msgspec Struct: its construction is ten
times faster.
"""

from __future__ import annotations

from gateway.types.calls import NO_NEEDS, Body, Call, Form, Headers, Service, Surface, TokenSource, Usage
from gateway.types.facts import Attempt, Receipt
from gateway.types.ledger import (
    LAST_MOMENT,
    MAX_COST,
    MAX_REAL,
    MAX_SMALL,
    MAX_TEXT,
    MAX_TOKENS,
    LedgerRow,
    LedgerState,
    Measure,
    ShortText,
    SmallCount,
    TokenCount,
)
from gateway.types.limits import LimitRule, LimitSpec, Principal, QuotaSpec
from gateway.types.plans import DEFAULT_FALLBACK_ON, DEFAULT_MAX_ATTEMPTS, Condition, Hedge, Plan, Skipped
from gateway.types.resources import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_QUEUE_TIMEOUT,
    DEFAULT_RETRY_ATTEMPTS,
    DEFAULT_RETRY_DELAY,
    Deployment,
    Drain,
    HealthCheck,
    Price,
    PriceTier,
    Provider,
    RateLimit,
    Timeouts,
)

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "DEFAULT_FALLBACK_ON",
    "DEFAULT_MAX_ATTEMPTS",
    "DEFAULT_QUEUE_TIMEOUT",
    "DEFAULT_RETRY_ATTEMPTS",
    "DEFAULT_RETRY_DELAY",
    "LAST_MOMENT",
    "MAX_COST",
    "MAX_REAL",
    "MAX_SMALL",
    "MAX_TEXT",
    "MAX_TOKENS",
    "NO_NEEDS",
    "Attempt",
    "Body",
    "Call",
    "Condition",
    "Deployment",
    "Drain",
    "Form",
    "Headers",
    "HealthCheck",
    "Hedge",
    "LedgerRow",
    "LedgerState",
    "LimitRule",
    "LimitSpec",
    "Measure",
    "Plan",
    "Price",
    "PriceTier",
    "Principal",
    "Provider",
    "QuotaSpec",
    "RateLimit",
    "Receipt",
    "Service",
    "ShortText",
    "Skipped",
    "SmallCount",
    "Surface",
    "Timeouts",
    "TokenCount",
    "TokenSource",
    "Usage",
]
