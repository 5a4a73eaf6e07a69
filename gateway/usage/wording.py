"""How reports read and write times and money."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

TIME_HELP = "use a date such as 2026-11-01, a time such as 2026-11-01T08:00+01:00, or how long ago: 30m, 24h, 7d"


def moment(text: str) -> int:
    """Unix microseconds of `2026-11-01`, `2026-11-01T08:00+01:00` (UTC without an offset) or `24h`, that long ago.

    Raises ValueError.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return int((time.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1_000_000)
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise ValueError("no calendar has this time") from None
    return (found - _EPOCH) // _MICROSECOND


def stamp(microseconds: int) -> str:
    """A moment as RFC 3339 has it, in UTC."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def usd(nano: int) -> str:
    """Nano-dollars as dollars, every digit of it, in a form that JSON takes for a number: `0.0000125`."""
    sign, nano = ("-", -nano) if nano < 0 else ("", nano)
    whole, rest = divmod(nano, 1_000_000_000)
    return f"{sign}{whole}.{rest:09}".rstrip("0").rstrip(".")
