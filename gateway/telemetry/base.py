"""An observer that hears nothing: the base of those that care for some facts only."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import GatewayError, UpstreamError
from gateway.ports import DeploymentChanged, IncidentChanged, LimitDecision, ProbeResult, QuotaAlert
from gateway.types import Attempt, Deployment, QuotaSpec, Receipt


class SilentObserver:
    """Every hook of `gateway.ports.Observer`, doing nothing."""

    def call_started(self) -> None:
        """Nothing."""

    def call_finished(self, receipt: Receipt) -> None:
        """Nothing."""

    def attempt_finished(self, attempt: Attempt) -> None:
        """Nothing."""

    def fell_back(self, source: Deployment, target: Deployment, error: UpstreamError) -> None:
        """Nothing."""

    def limits_decided(self, decisions: tuple[LimitDecision, ...]) -> None:
        """Nothing."""

    def quota_used(self, quota: QuotaSpec, owner: str, used: int, held: int, until: float) -> None:
        """Nothing."""

    def quota_seen(self, quota: QuotaSpec, owner: str, used: int, held: int, until: float) -> None:
        """Nothing."""

    def quota_exhausted(self, quota: QuotaSpec, owner: str, used: int, held: int, until: float) -> None:
        """Nothing."""

    def quota_alerted(self, alert: QuotaAlert) -> None:
        """Nothing."""

    def redis_called(self, seconds: float, error: str | None) -> None:
        """Nothing."""

    def redis_changed(self, available: bool, reason: str) -> None:
        """Nothing."""

    def loop_lagged(self, seconds: float) -> None:
        """Nothing."""

    def call_shed(self, status: int) -> None:
        """Nothing."""

    def request_malformed(self) -> None:
        """Nothing."""

    def overload_changed(self, overloaded: bool, work: float | None, refused: int) -> None:
        """Nothing."""

    def config_loaded(self, revision: str, error: str | None, warnings: Sequence[str] = ()) -> None:
        """Nothing."""

    def deployment_changed(self, change: DeploymentChanged) -> None:
        """Nothing."""

    def probe_finished(self, result: ProbeResult) -> None:
        """Nothing."""

    def incident_changed(self, change: IncidentChanged) -> None:
        """Nothing."""

    def failed(self, error: GatewayError | Exception, request_id: str) -> None:
        """Nothing."""
