"""The words of `gateway keys`: what its options mean, and how its answers look."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from gateway.errors import OperatorError
from gateway.registry import dates, scalars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.auth.issue import KeyInfo

_AMOUNTS = ("requests", "tokens", "cost")
_OTHERS = ("soft", "zone", "throttle_to", "unpriced", "on_store_failure")
_QUOTA_HELP = (
    "--quota: write an amount per period, then what else it needs: tokens=5M/day, cost=20/week,soft=0.8, "
    "requests=1000/hour,action=throttle, cost=9/month,action=downgrade:gpt-4o-mini"
)
_TIMES = ("created_at", "expires_at", "rotated_at", "grace_until", "revoked_at")
_LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""The last day that a calendar can show, and any database can hold."""

_LONGEST_GRACE = 365 * 86400.0


def listed(text: str | None) -> list[str] | None:
    """`a, b` as a list."""
    return None if text is None else [word for part in text.split(",") if (word := part.strip())]


def budget(text: str) -> dict[str, Any]:
    """`100/month` as a quota of USD. Raises OperatorError."""
    amount, period = _per(text, "--budget: write USD per period, such as 100/month or 5/day")
    return {"period": period, "cost": amount.removeprefix("$")}


def quota(text: str) -> dict[str, Any]:
    """`tokens=5M/day,soft=0.8` as a quota of the configuration file. Raises OperatorError."""
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not value:
            raise OperatorError(_QUOTA_HELP)
        if name in _AMOUNTS and "period" not in found:
            found[name], found["period"] = _per(value, _QUOTA_HELP)
        elif name == "action":
            word, colon, model = value.partition(":")
            found["action_on_exceed"] = {word: model} if colon else word
        elif name in _OTHERS:
            found[name] = value
        else:
            raise OperatorError(_QUOTA_HELP)
    return found


def _per(text: str, advice: str) -> tuple[str, str]:
    amount, slash, period = (word.strip() for word in text.partition("/"))
    if not slash or not amount or not period:
        raise OperatorError(advice)
    return amount, period


def metadata(pairs: Sequence[str], groups: str | None = None) -> dict[str, str]:
    """`name=value` each, and the key's user groups. Raises OperatorError."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise OperatorError("--metadata: write name=value, such as owner=ada")
        found[name.strip()] = value
    if groups is not None:
        if "groups" in found:
            raise OperatorError("--groups and --metadata groups=… say the same thing (use one of them)")
        found["groups"] = ",".join(listed(groups) or [])
    return found


def moment(text: str | None, now: float) -> float | None:
    """Unix seconds of `30d` from now, or of a date. Raises OperatorError."""
    if text is None:
        return None
    try:
        found = now + scalars.duration(text) if re.fullmatch(r"[\d.]+\s*[a-z]+", text) else dates.moment(text)
    except ValueError:
        raise OperatorError(
            "--expires: write how long it lives (12h, 30d), or until when (2027-01-31, 2027-01-31T18:00:00Z)"
        ) from None
    if found <= now:
        raise OperatorError("--expires: this moment is over (name one that is to come)")
    if found > _LAST:
        raise OperatorError("--expires: this is after the year 9999 (leave it out: a key without it never ends)")
    return found


def grace(text: str) -> float:
    """Seconds. Raises OperatorError."""
    try:
        found = scalars.duration(text)
    except ValueError as error:
        raise OperatorError(f"--grace: {error}") from None
    if found > _LONGEST_GRACE:
        raise OperatorError("--grace: at most 365d (create another key where two secrets shall stay)")
    return found


def iso(seconds: float | None) -> str | None:
    """A moment as `2027-01-31T18:00:00Z`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(min(seconds, _LAST), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def public(info: KeyInfo) -> dict[str, Any]:
    """A key as JSON shows it."""
    found = asdict(info)
    del found["revision"]
    return found | {name: iso(found[name]) for name in _TIMES}


def dumped(value: Any) -> str:
    """JSON for programs that people can read."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def table(keys: Sequence[KeyInfo]) -> str:
    """Aligned columns for people."""
    rows = [("NAME", "SECRET", "STATE", "TEAM", "MODELS", "LIMITS", "EXPIRES"), *map(_row, keys)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(info: KeyInfo) -> tuple[str, ...]:
    limits = [f"{value} {kind}" for kind, value in info.limits.items()]
    for item in info.quotas:
        limits += [
            f"{item[kind]} {'USD' if kind == 'cost' else kind}/{item['period']}" for kind in _AMOUNTS if kind in item
        ]
    return (
        info.name,
        f"{info.prefix}…",
        info.state,
        info.team or "-",
        ",".join(info.models) if info.models is not None else "all",
        ", ".join(limits) or "-",
        iso(info.expires_at) or "never",
    )
