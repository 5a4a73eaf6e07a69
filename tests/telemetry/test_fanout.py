"""Many observers behind one: all hear, none harms."""

from __future__ import annotations

import pytest

from gateway.errors import Overloaded, UpstreamTimeout
from gateway.ports import DeploymentChanged, IncidentChanged, LimitDecision, Observer, ProbeResult, QuotaAlert
from gateway.telemetry.base import SilentObserver
from gateway.telemetry.fanout import Observers
from gateway.types import Attempt, QuotaSpec, Receipt
from tests.telemetry.facts import DEPLOYMENT, SPARE, receipt


class _Broken(SilentObserver):
    def call_finished(self, receipt: Receipt) -> None:
        raise ValueError("broken")


class _Counting(SilentObserver):
    calls = 0

    def call_finished(self, receipt: Receipt) -> None:
        self.calls += 1


def test_a_broken_observer_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """What one raises reaches neither the caller nor the others, and is logged once."""
    counting = _Counting()
    observers: Observer = Observers(_Broken(), counting)
    for _ in range(3):
        observers.call_finished(receipt())
    assert counting.calls == 3
    assert len(caplog.records) == 1


def test_every_hook_is_passed_on() -> None:
    """Each fact reaches an observer that has nothing in common with ours but the port."""
    heard: list[str] = []

    class Recorder:
        def __getattr__(self, name: str) -> object:
            return lambda *_: heard.append(name)

    recorder = Recorder()
    for name in [name for name in vars(SilentObserver) if not name.startswith("_")]:
        setattr(Recorder, name, lambda self, *_, name=name: heard.append(name))
    observers = Observers(recorder)  # type: ignore[arg-type]
    observers.call_started()
    observers.call_finished(receipt())
    observers.attempt_finished(Attempt(DEPLOYMENT, 1, "ok", 1.0))
    observers.fell_back(DEPLOYMENT, SPARE, UpstreamTimeout())
    observers.limits_decided((LimitDecision("key", "requests", "refused"),))
    observers.quota_used(QuotaSpec("key", "ci", "tokens", "day", 1000), "ci", 17, 5, 86400.0)
    observers.quota_seen(QuotaSpec("team", "red", "cost", "day", 1000), "red", 99, 0, 86400.0)
    observers.quota_exhausted(QuotaSpec("key", "ci", "tokens", "day", 1000), "ci", 999, 0, 86400.0)
    observers.quota_alerted(
        QuotaAlert("soft", "team", "research", "research", "cost", "month", 0.0, 1000, 800, "reject")
    )
    observers.redis_called(0.1, "slow")
    observers.redis_changed(False, "slow")
    observers.loop_lagged(0.001)
    observers.call_shed(503)
    observers.request_malformed()
    observers.overload_changed(True, None, 0)
    observers.config_loaded("abc", None)
    observers.deployment_changed(DeploymentChanged(DEPLOYMENT.id, "out", "breaker", 1.0))
    observers.probe_finished(ProbeResult("primary", None, "ok", 1.0, 0.1))
    observers.incident_changed(IncidentChanged("opened", "i", "primary", "5xx", 1.0, 2.0, 3, (DEPLOYMENT.id,), ()))
    observers.failed(Overloaded(), "req-1")
    assert heard == [name for name in vars(SilentObserver) if not name.startswith("_")]
