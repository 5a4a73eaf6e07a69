"""One observer that is many: each hears every fact, and none can harm another or the request."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.errors import GatewayError, UpstreamError
from gateway.ports import DeploymentChanged, IncidentChanged, LimitDecision, Observer, ProbeResult, QuotaAlert
from gateway.telemetry.base import SilentObserver
from gateway.types import Attempt, Deployment, QuotaSpec, Receipt

_log = logging.getLogger("gateway.telemetry")

Hook = Callable[..., None]
_OF_ONE_FACT = frozenset({"call_finished", "attempt_finished", "limits_decided"})
"""The hooks that every call goes through."""


class Observers:
    """Calls, in order, those observers that override a hook. An exception of one is logged, once per hook.

    Which observers a hook has is settled when this is made: a fact costs one call, and one more for each of them.
    """

    call_started: Callable[[], None]
    call_finished: Callable[[Receipt], None]
    attempt_finished: Callable[[Attempt], None]
    fell_back: Callable[[Deployment, Deployment, UpstreamError], None]
    limits_decided: Callable[[tuple[LimitDecision, ...]], None]
    quota_used: Callable[[QuotaSpec, str, int, int, float], None]
    quota_seen: Callable[[QuotaSpec, str, int, int, float], None]
    quota_exhausted: Callable[[QuotaSpec, str, int, int, float], None]
    quota_alerted: Callable[[QuotaAlert], None]
    redis_called: Callable[[float, str | None], None]
    redis_changed: Callable[[bool, str], None]
    loop_lagged: Callable[[float], None]
    call_shed: Callable[[int], None]
    request_malformed: Callable[[], None]
    overload_changed: Callable[[bool, float | None, int], None]
    config_loaded: Callable[..., None]
    deployment_changed: Callable[[DeploymentChanged], None]
    probe_finished: Callable[[ProbeResult], None]
    incident_changed: Callable[[IncidentChanged], None]
    failed: Callable[[GatewayError | Exception, str], None]

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers
        self._reported: set[str] = set()
        for name in Observers.__annotations__:
            joined = self._of_one_fact if name in _OF_ONE_FACT else self._joined
            setattr(self, name, joined(self._hooks(name)))

    def _hooks(self, name: str) -> tuple[Hook, ...]:
        silent = getattr(SilentObserver, name)
        return tuple(
            getattr(observer, name) for observer in self.observers if getattr(type(observer), name, None) is not silent
        )

    def _of_one_fact(self, hooks: tuple[Hook, ...]) -> Hook:
        """As `_joined`, without the packing and unpacking."""
        if len(hooks) == 1:
            (only,) = hooks

            def tell_one(fact: object) -> None:
                try:
                    only(fact)
                except Exception:  # guards the request against a broken observer
                    self._report(only)

            return tell_one

        def tell(fact: object) -> None:
            for hook in hooks:
                try:
                    hook(fact)
                except Exception:  # guards the request against a broken observer
                    self._report(hook)

        return tell

    def _joined(self, hooks: tuple[Hook, ...]) -> Hook:
        def tell(*facts: object) -> None:
            for hook in hooks:
                try:
                    hook(*facts)
                except Exception:  # guards the request against a broken observer
                    self._report(hook)

        return tell

    def _report(self, hook: Hook) -> None:
        name = getattr(hook, "__qualname__", repr(hook))
        if name not in self._reported:
            self._reported.add(name)
            _log.exception("the observer %s failed; further failures of it are not logged", name)
