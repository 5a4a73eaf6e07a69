"""What LiteLLM sets for all models and callers: waiting, retries, the master key, budgets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.importing.draft import Noted, name_for
from gateway.importing.litellm.reading import count, number
from gateway.registry.problems import shown

if TYPE_CHECKING:
    from gateway.importing.litellm.deployments import Deployments
    from gateway.importing.litellm.reading import Reader

_DURATION = re.compile(r"(\d{1,6})(s|m|h|d|mo|w|y)")
_PERIODS = {
    "1m": "minute", "60s": "minute", "60m": "hour", "1h": "hour", "24h": "day", "1d": "day", "7d": "week", "1w": "week",
    "30d": "month", "31d": "month", "1mo": "month", "365d": "year", "1y": "year",
}  # fmt: skip
_MOST_RETRIES = 10


def add_settings(reader: Reader, deployments: Deployments) -> None:
    """Everything that is not a model group's own."""
    _waiting(reader)
    _retries(reader)
    _keys(reader)
    _budgets(reader, deployments)
    _at_once(reader)
    _told(reader)
    for provider in reader.draft.providers.values():  # the longest part last
        if "models" in provider:
            provider["models"] = provider.pop("models")


def _waiting(reader: Reader) -> None:
    found = reader.setting("timeout", "request_timeout")
    seconds = number(found[0]) if found is not None else None
    if found is not None and seconds is None:
        reader.lost(found[1], "it is no number of seconds")
    first = reader.setting("stream_timeout")
    first_byte = number(first[0]) if first is not None else None
    wanted = {name: value for name, value in (("total", seconds), ("first_byte", first_byte)) if value is not None}
    for provider in reader.draft.providers.values() if wanted else ():
        provider["timeout"] = {**wanted, **provider.get("timeout", {})}


def _retries(reader: Reader) -> None:
    found = reader.setting("num_retries")
    if found is None:
        return
    wanted = count(found[0]) or 0
    if wanted > _MOST_RETRIES:
        reader.lost(found[1], f"{_MOST_RETRIES} retries are the most here")
    for provider in reader.draft.providers.values():
        provider.setdefault("retry_attempts", min(wanted, _MOST_RETRIES))


def _keys(reader: Reader) -> None:
    found = reader.setting("master_key")
    if found is None:
        reader.draft.note("no key was set in the file: every caller is accepted, on a loopback address only")
        return
    value, trail = found
    key = Noted(
        name="master",
        secret=reader.variables.take(value, "LITELLM_MASTER_KEY", reader.draft.note, reader.place(*trail)),
    )
    key.note(
        "LiteLLM's master key. A secret needs 32 characters or more here; without its variable the key is inactive."
    )
    key.note("It may not administer this gateway: that is what GATEWAY_ADMIN_KEY is for.")
    key.note("Keys that LiteLLM made stand as hashes in its database: make new ones with `gateway keys create`.")
    reader.draft.keys.append(key)


# ---- budgets


def _budgets(reader: Reader, deployments: Deployments) -> None:
    _whole_budget(reader)
    _provider_budgets(reader, deployments)
    _deployment_budgets(reader)


def _whole_budget(reader: Reader) -> None:
    found, lasting = reader.setting("max_budget"), reader.setting("budget_duration")
    amount = number(found[0]) if found is not None else None
    if amount is not None and amount > 0:
        quota = _quota(amount, lasting[0] if lasting is not None else None)
        _add_limit(reader, Noted(name="budget", scope="global", quotas=[quota]), lasting[0] if lasting else None)
    elif found is not None:
        reader.lost(found[1], "it is no amount of money")


def _provider_budgets(reader: Reader, deployments: Deployments) -> None:
    found = reader.setting("provider_budget_config")
    for prefix, budget in found[0].items() if found is not None and isinstance(found[0], dict) else ():
        names = deployments.by_prefix.get(str(prefix), [])
        amount = number(budget.get("budget_limit", budget.get("max_budget"))) if isinstance(budget, dict) else None
        if not names or amount is None or amount <= 0:
            reader.lost(("router_settings", "provider_budget_config", str(prefix)), "no such provider, or no amount")
            continue
        period = budget.get("time_period", budget.get("budget_duration"))
        rule = Noted(
            name=f"budget-{prefix}".replace("_", "-"), scope="provider", only=names, quotas=[_quota(amount, period)]
        )
        if len(names) > 1:
            rule.note("each of these has it by itself: LiteLLM counts them together")
        _add_limit(reader, rule, period)


def _deployment_budgets(reader: Reader) -> None:
    listed = reader.data.get("model_list")
    for at, item in enumerate(listed if isinstance(listed, list) else ()):
        params = item.get("litellm_params") if isinstance(item, dict) else None
        if isinstance(params, dict) and "max_budget" in params:
            reader.lost(("model_list", at, "litellm_params", "max_budget"), "see `limits` with scope deployment")


def _quota(amount: float, duration: Any) -> dict[str, Any]:
    return {"period": _PERIODS.get(str(duration), "total"), "cost": amount}


def _add_limit(reader: Reader, rule: Noted, duration: Any) -> None:
    rule["name"] = name_for(rule["name"], {limit["name"] for limit in reader.draft.limits})
    period = rule["quotas"][0]["period"]
    if duration is not None and period == "total":
        rule.note(f"it was for each {shown(str(duration))}: choose a `period`, here it is used up once and for all")
    elif duration is not None and _DURATION.fullmatch(str(duration)) is not None:
        rule.note(f"a calendar {period}, where LiteLLM counts from the first use")
    reader.draft.limits.append(rule)


def _at_once(reader: Reader) -> None:
    found = reader.setting("global_max_parallel_requests")
    if found is None:
        return
    at_once = count(found[0])
    if at_once is None:
        reader.lost(found[1], "it is no number of requests")
    else:
        reader.draft.limits.append(Noted(name="at-once", scope="global", concurrency=at_once))


# ---- what belongs elsewhere


def _told(reader: Reader) -> None:
    """Settings that are variables here, or that need none."""
    for name, advice in (
        ("database_url", "set DATABASE_URL to a database of this gateway's own: LiteLLM's cannot be shared"),
        ("redis_url", "set REDIS_URL"),
        ("redis_host", "set REDIS_URL"),
        ("allowed_fails", "deployments that fail are taken out by their success rate"),
        ("cooldown_time", "how long a deployment stays out grows by itself, or is what its provider says"),
        ("retry_after", "waits between retries grow by themselves; see `retry_delay`"),
        ("enable_pre_call_checks", "deployments that cannot serve a request are left out always"),
    ):
        found = reader.setting(name)
        if found is not None and found[0] is not None:
            reader.lost(found[1], advice)
    for name in ("redis_port", "redis_password", "redis_db"):
        reader.setting(name)
