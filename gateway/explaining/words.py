"""How an explanation looks to programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.routing.rules import context_of

if TYPE_CHECKING:
    from gateway.explaining import Explanation
    from gateway.registry.snapshot import Snapshot
    from gateway.types import Call

BLIND = "how fast and how busy deployments are is known to the workers alone: all were taken for alike"


def as_dict(found: Explanation, call: Call, snapshot: Snapshot) -> dict[str, Any]:
    """Everything, in plain values."""
    rule, refusal = found.routed.rule, found.refusal
    return {
        "request": {
            "model": call.model,
            "service": str(call.service),
            "stream": call.stream,
            "needs": sorted(call.needs),
            "context_tokens": context_of(call),
        },
        "model": found.routed.model,
        "downgraded_to": found.downgraded_to,
        "revision": snapshot.revision,
        "route": None if rule is None else rule.name,
        "strategy": None if rule is None else rule.strategy,
        "passed": [{"route": one.route, "conditions": list(one.conditions)} for one in found.passed],
        "candidates": [
            {"deployment": one.id, "provider": one.provider.name, "model": one.model} for one in found.candidates
        ],
        "left_out": [{"deployment": one.deployment, "reason": one.reason} for one in found.left_out],
        "refusal": None
        if refusal is None
        else {
            "status": refusal.public_status,
            "code": refusal.public_code,
            "message": refusal.public_message,
            "retry_after": refusal.retry_after,
        },
        "notes": [*found.notes, BLIND],
    }
