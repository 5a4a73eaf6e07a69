"""How long a call may take: by its provider, and by what its client allows. Pure."""

from __future__ import annotations

from math import inf

from gateway.errors import (
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamPoolExhausted,
    UpstreamStalled,
    UpstreamTimeout,
)
from gateway.types import Call, Deployment
from gateway.upstream.progress import Progress

STREAM_SECONDS = 1800.0
SLACK = 0.005
"""Seconds by which a timer of the event loop may be early."""
_TIMED = (UpstreamTimeout, UpstreamStalled, UpstreamConnectTimeout, UpstreamPoolExhausted)


def set_deadlines(call: Call, first: Deployment, progress: Progress) -> None:
    """The instants that bound every attempt of this call."""
    deadline = call.started + (STREAM_SECONDS if call.stream else first.provider.timeouts.total)
    if call.allowed is not None:
        progress.patience = call.started + call.allowed
        deadline = min(deadline, progress.patience)
    if call.patience is not None:
        progress.patience = min(progress.patience, call.started + call.patience)
        if not call.stream:
            deadline = min(deadline, progress.patience)
    progress.deadline = deadline


def first_byte_within(deployment: Deployment, progress: Progress, now: float) -> float:
    """Seconds that an attempt has from now to the head of its answer."""
    seconds = deployment.provider.timeouts.first_byte
    return seconds if progress.patience == inf else max(0.0, min(seconds, progress.patience - now))


def client_gave_up(error: UpstreamError, progress: Progress, now: float) -> bool:
    """Whether it was the client's own deadline that ended an attempt."""
    return isinstance(error, _TIMED) and out_of_patience(progress, now)


def out_of_patience(progress: Progress, now: float) -> bool:
    """Whether the client waits no longer for an answer to begin."""
    return now >= progress.patience - SLACK


def cut_short(error: UpstreamError, deployment: Deployment, progress: Progress, now: float) -> bool:
    """Whether a timeout tells nothing of the deployment: earlier attempts had used up most of the call's time."""
    if not isinstance(error, _TIMED) or now < progress.deadline - SLACK:
        return False
    return now - progress.began < deployment.provider.timeouts.first_byte - SLACK
