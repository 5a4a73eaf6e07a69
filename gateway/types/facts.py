"""What happened: observers read these, nobody changes them."""

from __future__ import annotations

import msgspec

from gateway.types.calls import Call, TokenSource, Usage
from gateway.types.plans import Skipped
from gateway.types.resources import Deployment


class Attempt(msgspec.Struct, frozen=True):
    """A fact: one try at one deployment is over."""

    deployment: Deployment
    number: int
    outcome: str
    """`ok`, or the word of the failure table."""
    seconds: float


class Receipt(msgspec.Struct, eq=False):
    """A fact: one call is over. Observers read it, nobody changes it."""

    call: Call | None
    request_id: str
    service: str
    status: int
    reason: str
    """`ok`, or the error's label."""
    seconds: float
    requested_model: str = ""
    key: str | None = None
    team: str | None = None
    route: str | None = None
    deployment: Deployment | None = None
    revision: str = ""
    attempts: int = 0
    stream: bool = False
    usage: Usage | None = None
    token_source: TokenSource | None = None
    ttft: float | None = None
    """Seconds from the request's arrival to the first byte of the answer's body."""
    overhead: float | None = None
    """Seconds of `seconds` up to the first byte that were ours, not the provider's."""
    cost_nano_usd: int | None = None
    skipped: tuple[Skipped, ...] = ()
    """Deployments that the plan left out."""
