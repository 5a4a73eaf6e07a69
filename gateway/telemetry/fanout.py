"""One observer that is many: each hears every fact, and none can harm another or the request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from gateway.errors import GatewayError, UpstreamError
from gateway.ports import LimitDecision, Observer
from gateway.telemetry.base import SilentObserver
from gateway.types import Attempt, Deployment, Receipt

_log = logging.getLogger("gateway.telemetry")

Hook = Callable[..., None]


class Observers:
    """Calls those observers that override a hook, in order. What one raises is logged, once per hook."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers
        self._reported: set[str] = set()
        self._call_started = self._hooks("call_started")
        self._call_finished = self._hooks("call_finished")
        self._attempt_finished = self._hooks("attempt_finished")
        self._fell_back = self._hooks("fell_back")
        self._limits_decided = self._hooks("limits_decided")
        self._redis_called = self._hooks("redis_called")
        self._config_loaded = self._hooks("config_loaded")
        self._failed = self._hooks("failed")

    def call_started(self) -> None:
        """A request arrived."""
        self._tell(self._call_started)

    def call_finished(self, receipt: Receipt) -> None:
        """A request is over."""
        self._tell(self._call_finished, receipt)

    def attempt_finished(self, attempt: Attempt) -> None:
        """One try at one deployment is over."""
        self._tell(self._attempt_finished, attempt)

    def fell_back(self, source: Deployment, target: Deployment, error: UpstreamError) -> None:
        """Another deployment is tried."""
        self._tell(self._fell_back, source, target, error)

    def limits_decided(self, decisions: Sequence[LimitDecision]) -> None:
        """Limits admitted or refused."""
        self._tell(self._limits_decided, decisions)

    def redis_called(self, seconds: float, error: str | None) -> None:
        """Redis answered, or did not."""
        self._tell(self._redis_called, seconds, error)

    def config_loaded(self, revision: str, error: str | None) -> None:
        """A (re)load ended."""
        self._tell(self._config_loaded, revision, error)

    def failed(self, error: GatewayError | Exception, request_id: str) -> None:
        """Something that nobody expected."""
        self._tell(self._failed, error, request_id)

    def _hooks(self, name: str) -> tuple[Hook, ...]:
        silent = getattr(SilentObserver, name)
        return tuple(
            getattr(observer, name) for observer in self.observers if getattr(type(observer), name, None) is not silent
        )

    def _tell(self, hooks: tuple[Hook, ...], *facts: Any) -> None:
        for hook in hooks:
            try:
                hook(*facts)
            except Exception:  # guards the request against a broken observer
                self._report(hook)

    def _report(self, hook: Hook) -> None:
        name = getattr(hook, "__qualname__", repr(hook))
        if name not in self._reported:
            self._reported.add(name)
            _log.exception("the observer %s failed; further failures of it are not logged", name)
