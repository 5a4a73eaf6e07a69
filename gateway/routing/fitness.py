"""What a deployment lacks for a call: a capability, or room in its context window. Pure.

Only what is declared excludes: a deployment without `capabilities` may have any, one without `context_window` any room.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import ContextTooLong, GatewayError, MissingCapability
from gateway.registry.snapshot import Target
from gateway.routing.rules import context_of
from gateway.types import Call, Deployment, Service, Skipped

_ANSWERS = frozenset({Service.CHAT, Service.COMPLETIONS, Service.RESPONSES})


def lacks(deployment: Deployment, needs: frozenset[str]) -> str:
    """The declared capabilities that are not there, in words; empty when there is none."""
    if not deployment.capabilities or needs <= deployment.capabilities:
        return ""
    return ", ".join(sorted(needs - deployment.capabilities))


def has_context(call: Call) -> bool:
    """Whether the call's tokens must fit into one window; several inputs each have a window of their own."""
    return call.service in _ANSWERS or (call.service is Service.EMBEDDINGS and call.inputs == 1)


def counts_context(service: Service) -> bool:
    """Whether calls of this service have a context at all."""
    return service in _ANSWERS or service is Service.EMBEDDINGS


def fitting(targets: Sequence[Target], call: Call) -> tuple[tuple[Target, ...], tuple[Skipped, ...]]:
    """The targets whose window the call fits into, and why the others are left out.

    The input is an estimate, which may be twice as high as the truth: where by it nothing fits, those stay that may yet
    be large enough.
    """
    for tokens in (context_of(call), call.input_tokens // 2 + (call.max_tokens or 0)):
        fit = tuple(t for t in targets if (t.deployment.context_window or tokens) >= tokens)
        if fit:
            break
    out = tuple(
        Skipped(t.deployment.id, f"context: about {context_of(call)} tokens, and its window has {_window(t)}")
        for t in targets
        if t not in fit
    )
    return fit, out


def _window(target: Target) -> int:
    return target.deployment.context_window or 0


def nothing_fits(targets: Sequence[Target], call: Call) -> GatewayError:
    """The refusal of a call that is too long for every window."""
    largest = max(map(_window, targets))
    return ContextTooLong(
        f"This request has about {context_of(call)} tokens, its `max_tokens` included; the largest context window of "
        f"this model's deployments has {largest}. Shorten the input or lower `max_tokens`."
    )


def nothing_can(targets: Sequence[Target], needs: frozenset[str]) -> GatewayError:
    """The refusal of a call that asks for what no deployment has."""
    missing = min((lacks(target.deployment, needs) for target in targets), key=len)
    return MissingCapability(f"No deployment of this model has what this request needs: {missing}.", param="model")
