"""Every metric family of the gateway, declared from the start: dashboards and alerts name nothing else.

The `gen_ai_*` names, labels and buckets follow OpenTelemetry's GenAI semantic conventions
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/) as Envoy AI Gateway exports them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DURATION_BUCKETS = tuple(0.01 * 2**n for n in range(14))
"""Seconds: 0.01 … 81.92."""
TOKEN_BUCKETS = tuple(float(4**n) for n in range(14))
"""Tokens: 1 … 67108864."""
FIRST_TOKEN_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
OUTPUT_TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
OVERHEAD_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
REDIS_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)

_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model")


@dataclass(frozen=True, slots=True)
class Family:
    """One family. `merge` says what several workers' gauges make together: `sum`, `max`, `min`, or the latest."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Literal["sum", "max", "min", "recent"] = "sum"


TOKEN_USAGE = Family(
    "gen_ai_client_token_usage",
    "histogram",
    "Tokens of one call, by type.",
    (*_GEN_AI, "gen_ai_token_type"),
    TOKEN_BUCKETS,
)
REQUEST_DURATION = Family(
    "gen_ai_server_request_duration",
    "histogram",
    "Seconds from a call's arrival to the end of its answer.",
    _GEN_AI,
    DURATION_BUCKETS,
)
TIME_TO_FIRST_TOKEN = Family(
    "gen_ai_server_time_to_first_token",
    "histogram",
    "Seconds from a streamed call's arrival to the first byte of its answer.",
    _GEN_AI,
    FIRST_TOKEN_BUCKETS,
)
TIME_PER_OUTPUT_TOKEN = Family(
    "gen_ai_server_time_per_output_token",
    "histogram",
    "Seconds per output token of a streamed call, after the first.",
    _GEN_AI,
    OUTPUT_TOKEN_BUCKETS,
)
REQUESTS = Family(
    "gateway_requests_total",
    "counter",
    "Calls that ended, by their status and reason (`ok`, or the error's label).",
    ("route", "model", "status", "reason"),
)
ATTEMPTS = Family(
    "gateway_upstream_attempts_total",
    "counter",
    "Tries at deployments, by outcome (`ok`, or the failure's label).",
    ("provider", "deployment", "outcome"),
)
FALLBACKS = Family(
    "gateway_fallbacks_total",
    "counter",
    "Calls that went on to another deployment, and why.",
    ("from", "to", "reason"),
)
OVERHEAD = Family(
    "gateway_overhead_seconds",
    "histogram",
    "Seconds that the gateway itself added to a call.",
    buckets=OVERHEAD_BUCKETS,
)
IN_FLIGHT = Family("gateway_in_flight_requests", "gauge", "Calls that run now.")
LOOP_LAG = Family(
    "gateway_loop_lag_seconds",
    "histogram",
    "Seconds by which a worker's event loop was late, looked at fifty times a second.",
    buckets=LAG_BUCKETS,
)
DEPLOYMENT_STATE = Family(
    "gateway_deployment_state",
    "gauge",
    "0 healthy, 1 degraded, 2 out; the worst any worker sees.",
    ("deployment",),
    merge="max",
)
LIMIT_DECISIONS = Family(
    "gateway_limit_decisions_total",
    "counter",
    "What limits decided: `admitted`, `refused`, or `degraded` while their store was away.",
    ("scope", "limit", "decision"),
)
COST = Family(
    "gateway_cost_usd_total",
    "counter",
    "What calls cost, in USD.",
    ("provider", "model", "team"),
)
BUDGET_REMAINING = Family(
    "gateway_budget_remaining_usd",
    "gauge",
    "What was not spent of a budget in its current period, in USD; what calls under way hold is not spent.",
    ("scope", "period", "amount"),
    merge="recent",
)
BUDGET = Family(
    "gateway_budget_usd",
    "gauge",
    "A budget's amount for one period, in USD.",
    ("scope", "period", "amount"),
    merge="recent",
)
QUOTA_ALERTS = Family(
    "gateway_quota_alerts_total",
    "counter",
    "Quotas that reached their soft threshold (`soft`) or were used up (`exceeded`), once for each owner and period.",
    ("scope", "level"),
)
UNPRICED = Family(
    "gateway_unpriced_requests_total",
    "counter",
    "Calls that used tokens of a model without a known price.",
)
CONFIG_REVISION = Family(
    "gateway_config_revision",
    "gauge",
    "Workers that serve this revision of the configuration.",
    ("revision",),
)
CONFIG_RELOADS = Family(
    "gateway_config_reloads_total",
    "counter",
    "Loads of the configuration, by result: `ok` or `rejected`.",
    ("result",),
)
CONFIG_REJECTED = Family(
    "gateway_config_rejected",
    "gauge",
    "1 while the configuration, as it is now, is rejected and the last good one is served.",
    merge="max",
)
REDIS_SECONDS = Family(
    "gateway_redis_seconds",
    "histogram",
    "Seconds that a call of Redis took.",
    buckets=REDIS_BUCKETS,
)
REDIS_ERRORS = Family(
    "gateway_redis_errors_total",
    "counter",
    "Calls of Redis that failed, by reason: `down`, `slow`, `readonly`, `oom`, `loading` or `error`.",
    ("reason",),
)
REDIS_UP = Family(
    "gateway_redis_up",
    "gauge",
    "1 while Redis is in use; 0 while any worker found it sick and works without it.",
    merge="min",
)
PROBES = Family(
    "gateway_probes_total",
    "counter",
    "Probes of providers, by outcome: `ok`, `no_list` (it answers, and has no list of models), or the failure's label.",
    ("provider", "outcome"),
)
INCIDENTS_OPEN = Family(
    "gateway_incidents_open",
    "gauge",
    "1 while a provider has an open incident; the same on every gateway that shares the database.",
    ("provider",),
    merge="max",
)
LEDGER_ROWS = Family(
    "gateway_ledger_rows_total",
    "counter",
    "Rows that came to the ledger: `written`, `duplicate` (known already), or `bad` (set aside).",
    ("result",),
)
LEDGER_ERRORS = Family(
    "gateway_ledger_errors_total", "counter", "Tries at the database or the event streams that failed."
)
LEDGER_BACKLOG = Family("gateway_ledger_backlog", "gauge", "Ledger events that wait to be booked.", merge="max")
LEDGER_LAG = Family(
    "gateway_ledger_lag_seconds", "gauge", "Age of the oldest ledger event that waits, in seconds.", merge="max"
)
LEDGER_CHECKED = Family(
    "gateway_ledger_checked_timestamp_seconds",
    "gauge",
    "Unix time at which the bookkeeper last saw how far the ledger is; 0 before the first time.",
    merge="max",
)
PROCESS_RESTARTS = Family(
    "gateway_process_restarts_total",
    "counter",
    "Processes that ended by themselves and were replaced: `worker`, `bookkeeper`, `administrator`, `store`.",
    ("process",),
)
OPEN_FILES = Family(
    "gateway_open_files", "gauge", "Files and connections that the worker with the most has open.", merge="max"
)
MAX_OPEN_FILES = Family(
    "gateway_max_open_files", "gauge", "Files and connections that one worker may have open.", merge="min"
)
SPOOL_BYTES = Family("gateway_spool_bytes", "gauge", "Bytes of ledger events that wait on the local disk.", merge="max")

FAMILIES: tuple[Family, ...] = (
    TOKEN_USAGE,
    REQUEST_DURATION,
    TIME_TO_FIRST_TOKEN,
    TIME_PER_OUTPUT_TOKEN,
    REQUESTS,
    ATTEMPTS,
    FALLBACKS,
    OVERHEAD,
    IN_FLIGHT,
    LOOP_LAG,
    DEPLOYMENT_STATE,
    LIMIT_DECISIONS,
    COST,
    BUDGET_REMAINING,
    BUDGET,
    QUOTA_ALERTS,
    UNPRICED,
    CONFIG_REVISION,
    CONFIG_RELOADS,
    CONFIG_REJECTED,
    REDIS_SECONDS,
    REDIS_ERRORS,
    REDIS_UP,
    PROBES,
    INCIDENTS_OPEN,
    LEDGER_ROWS,
    LEDGER_ERRORS,
    LEDGER_BACKLOG,
    LEDGER_LAG,
    LEDGER_CHECKED,
    SPOOL_BYTES,
    PROCESS_RESTARTS,
    OPEN_FILES,
    MAX_OPEN_FILES,
)
