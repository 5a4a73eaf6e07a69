"""Prometheus metrics: facts become tallies at once, and a file for the other workers a quarter of a second later.

prometheus_client's own multiprocess mode writes through a memory map on every increment, about 2 µs each and two dozen
per call; dictionaries and a file replaced whole cost a fraction of that, and a torn read cannot happen.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import get_args

from gateway.errors import UpstreamError
from gateway.ports import DeploymentChanged, LimitDecision, ProbeResult, QuotaAlert
from gateway.storage.errors import Reason
from gateway.telemetry import families, shared
from gateway.telemetry.base import SilentObserver
from gateway.telemetry.budgets import Budgets
from gateway.telemetry.exposition import exposition
from gateway.telemetry.open_files import OpenFiles
from gateway.telemetry.series import Families, Series
from gateway.telemetry.sharing import Sharer
from gateway.telemetry.tallies import Snapshot, Tallies
from gateway.types import Attempt, Deployment, QuotaSpec, Receipt

_log = logging.getLogger("gateway.telemetry")

OTHER = "other"
_SCOPES = ("key", "team", "user", "model", "provider", "deployment", "global")
_OPERATIONS = {"completions": "text_completion"}
"""Our services whose name differs in `gen_ai.operation.name`."""
_SYSTEMS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Our provider types whose name differs in `gen_ai.provider.name`."""


_STATES = {"healthy": 0, "degraded": 1, "out": 2}
_REMEMBERED = 4096
_MOST_PAYERS = 20_000
_SHED = "overloaded"


class BoundedNames:
    """A label's values: the first `limit` distinct ones as they are, every later one as `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        seen = self._seen
        found = seen.get(name)
        if found is None:
            if len(seen) >= self._limit:
                return OTHER
            found = seen[name] = name
        return found


class Metrics(SilentObserver):
    """One worker's observer. Make it in the worker, after the fork; `start` and `close` frame its life.

    Without a directory it speaks for this process alone.
    """

    def __init__(self, directory: Path | None = None, *, flush_seconds: float = 0.25, max_models: int = 500) -> None:
        self._reader = None if directory is None else shared.Reader(directory)
        self._tallies = tallies = Tallies(secrets.token_hex(8))
        self._model = BoundedNames(max_models)
        self._requested_model = BoundedNames(max_models)
        self._deployment = BoundedNames(max_models)
        self._team = BoundedNames(max_models)
        self._aliases: frozenset[str] = frozenset()
        self._running = 0
        self._decided: dict[tuple[LimitDecision, ...], list[int]] = {}
        self._copying = threading.Lock()
        self._series: dict[tuple[object, ...], Series] = {}
        self._payers: dict[tuple[Deployment, str | None], tuple[str, str, str]] = {}
        self._tried: dict[tuple[Deployment, str], tuple[str, str, str]] = {}
        self._sharer = Sharer(directory, self._copy, flush_seconds)
        self._requests = tallies.counter(families.REQUESTS)
        self._families = Families(
            self._requests,
            tallies.histogram(families.REQUEST_DURATION),
            tallies.histogram(families.OVERHEAD),
            tallies.histogram(families.TIME_TO_FIRST_TOKEN),
            tallies.histogram(families.TIME_PER_OUTPUT_TOKEN),
            tallies.histogram(families.TOKEN_USAGE),
            tallies.counter(families.COST),
            tallies.counter(families.UNPRICED),
        )
        self._attempts = tallies.counter(families.ATTEMPTS)
        self._fallbacks = tallies.counter(families.FALLBACKS)
        self._in_flight = tallies.gauge(families.IN_FLIGHT)
        self._loop_lag = tallies.histogram(families.LOOP_LAG)
        self._states = tallies.gauge(families.DEPLOYMENT_STATE)
        self._decisions = tallies.counter(families.LIMIT_DECISIONS)
        self._budgets = Budgets(tallies)
        self._open_files = OpenFiles(tallies)
        self._quota_alerts = tallies.counter(families.QUOTA_ALERTS)
        for scope in _SCOPES:  # from zero, as below
            for level in ("soft", "exceeded"):
                self._quota_alerts.add((scope, level), 0.0)
        self._revision = tallies.gauge(families.CONFIG_REVISION)
        self._reloads = tallies.counter(families.CONFIG_RELOADS)
        for result in ("ok", "rejected"):  # from zero, so that `increase` sees the first one
            self._reloads.add((result,), 0.0)
        self._rejected = tallies.gauge(families.CONFIG_REJECTED)
        self._probes = tallies.counter(families.PROBES)
        self._redis_seconds = tallies.histogram(families.REDIS_SECONDS)
        self._redis_errors = tallies.counter(families.REDIS_ERRORS)
        for reason in get_args(Reason):
            self._redis_errors.add((reason,), 0.0)
        self._redis_up = tallies.gauge(families.REDIS_UP)
        self._redis_up.set((), 1)

    # ---- life ----

    def start(self) -> None:
        """Begin to share the numbers with the other workers."""
        self._sharer.start()

    def close(self) -> None:
        """Share them a last time."""
        self._sharer.close()

    def render(self) -> bytes:
        """The text of `/metrics`, all workers together. Blocks for milliseconds: call it in a thread. Raises OSError
        where the others' numbers cannot be read and never could."""
        own = self._copy()
        return exposition(own if self._reader is None else self._reader.read(own))

    def _copy(self) -> Snapshot:
        self._in_flight.set((), self._running)
        self._open_files.look()
        with self._copying:
            for decisions, counts in tuple(self._decided.items()):
                total, told = counts
                counts[1] = total
                for decision in decisions:
                    self._decisions.add((decision.scope, decision.kind, decision.decision), total - told)
            return self._budgets.current(self._tallies.copy())

    # ---- what others tell ----

    def know_models(self, names: Iterable[str]) -> None:
        """The names that the configuration itself knows, aliases among them; any other requested model is `other`."""
        self._aliases = frozenset(names)
        self._series.clear()
        self._tried.clear()
        self._payers.clear()

    def set_deployment_state(self, deployment: str, state: int) -> None:
        """0 healthy, 1 degraded, 2 out."""
        self._states.set((self._deployment(deployment),), state)

    def show_state(self, deployment: str, state: str) -> None:
        """`healthy`, `degraded` or `out`."""
        self.set_deployment_state(deployment, _STATES[state])

    def keep_deployments(self, deployments: Collection[str]) -> None:
        """Forget the state of every other deployment: a reload removed it."""
        for labels in [labels for labels in self._states.rows if labels[0] not in deployments]:
            del self._states.rows[labels]

    def keep_budgets(self, quotas: Iterable[QuotaSpec]) -> None:
        """Forget what is left of every other budget: a reload removed it."""
        self._budgets.keep(quotas)

    # ---- facts ----

    def call_started(self) -> None:
        """One more in flight."""
        self._running += 1

    def call_finished(self, receipt: Receipt) -> None:
        """The request, its durations, tokens and cost."""
        self._running -= 1
        deployment = receipt.deployment
        if deployment is None:
            self._requests.add((receipt.route or "", OTHER, str(receipt.status), receipt.reason))
            return
        about = (
            deployment, receipt.service, receipt.requested_model,
            receipt.route, receipt.status, receipt.reason,
        )  # fmt: skip
        series = self._series.get(about)
        if series is None:
            if len(self._series) >= _REMEMBERED:
                self._series.clear()
            series = self._series[about] = self._series_of(receipt, deployment)
        series.count(receipt)
        if receipt.cost_nano_usd is not None and receipt.usage is not None:
            self._count_cost(deployment, receipt.team, receipt.cost_nano_usd)

    def _count_cost(self, deployment: Deployment, team: str | None, cost: int) -> None:
        """Apart from the rest: it alone is told by teams, of which there may be thousands."""
        about = (deployment, team)
        labels = self._payers.get(about)
        if labels is None:
            if len(self._payers) >= _MOST_PAYERS:
                self._payers.clear()
            whose = "" if team is None else self._team(team)
            labels = self._payers[about] = (deployment.provider.name, self._model(deployment.model), whose)
        self._families.cost.add(labels, cost * 1e-9)

    def _series_of(self, receipt: Receipt, deployment: Deployment) -> Series:
        kind, model = deployment.provider.type, self._model(deployment.model)
        call = (
            _OPERATIONS.get(receipt.service, receipt.service),
            _SYSTEMS.get(kind, kind),
            self._requested(receipt.requested_model, deployment),
            model,
        )
        request = (receipt.route or "", model, str(receipt.status), receipt.reason)
        return Series(self._families, call, request)

    def _requested(self, name: str, deployment: Deployment) -> str:
        if name in (deployment.model, deployment.id) or name in self._aliases:
            return self._requested_model(name)
        return OTHER

    def attempt_finished(self, attempt: Attempt) -> None:
        """One try, by outcome."""
        about = (attempt.deployment, attempt.outcome)
        labels = self._tried.get(about)
        if labels is None:
            if len(self._tried) >= _REMEMBERED:
                self._tried.clear()
            deployment = attempt.deployment
            labels = (deployment.provider.name, self._deployment(deployment.id), attempt.outcome)
            self._tried[about] = labels
        self._attempts.add(labels)

    def fell_back(self, source: Deployment, target: Deployment, error: UpstreamError) -> None:
        """One fallback."""
        self._fallbacks.add((self._deployment(source.id), self._deployment(target.id), error.outcome))

    def deployment_changed(self, change: DeploymentChanged) -> None:
        """Its state, until the next change."""
        self.show_state(change.deployment, change.state)

    def limits_decided(self, decisions: tuple[LimitDecision, ...]) -> None:
        """What each limit of one call decided."""
        # The same tuple comes again and again: it is counted as one thing here, and taken apart when the numbers are
        # read.
        counts = self._decided.get(decisions)
        if counts is None:
            counts = self._decided[decisions] = [0, 0]
        counts[0] += 1

    def quota_used(self, quota: QuotaSpec, owner: str, used: int, held: int, until: float) -> None:
        """What is left of a budget; of keys and users, whose names are no labels, nothing is shown."""
        self._budgets.tell(quota, owner, used - held, until)

    def quota_seen(self, quota: QuotaSpec, owner: str, used: int, held: int, until: float) -> None:
        """The same, between calls."""
        self._budgets.tell(quota, owner, used - held, until)

    def quota_exhausted(self, quota: QuotaSpec, owner: str, used: int, held: int, until: float) -> None:
        """The same, when nothing is admitted any more."""
        self._budgets.tell(quota, owner, used - held, until)

    def quota_alerted(self, alert: QuotaAlert) -> None:
        """One alert."""
        self._quota_alerts.add((alert.scope, alert.level))

    def probe_finished(self, result: ProbeResult) -> None:
        """One probe of this worker's own."""
        if not result.heard:
            self._probes.add((result.provider, result.outcome))

    def redis_called(self, seconds: float, error: str | None) -> None:
        """One call of Redis."""
        self._redis_seconds.observe((), seconds)
        if error is not None:
            self._redis_errors.add((error,))

    def redis_changed(self, available: bool, reason: str) -> None:  # noqa: ARG002 - errors are counted by it
        """Whether Redis is in use."""
        self._redis_up.set((), available)

    def loop_lagged(self, seconds: float) -> None:
        """One look at the loop."""
        self._loop_lag.observe((), seconds)

    def call_shed(self, status: int) -> None:
        """A call that ended before it began: its model is in the body, which nobody read."""
        self._requests.add(("", OTHER, str(status), _SHED))

    def request_malformed(self) -> None:
        """What asked for it, nobody knows."""
        self._requests.add(("", OTHER, "400", "malformed"))

    def config_loaded(self, revision: str, error: str | None, warnings: Sequence[str] = ()) -> None:
        """One (re)load; a rejected one leaves the revision as it was."""
        del warnings  # the log has them
        self._reloads.add(("ok" if error is None else "rejected",))
        self._rejected.set((), error is not None)
        if error is None:
            self._revision.clear()
            self._revision.set((revision,), 1)
