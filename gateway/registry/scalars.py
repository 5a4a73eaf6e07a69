"""How single values are written: numbers, durations, sizes, rates, addresses. One parser each, to check and to compile.

Every function raises ValueError with a sentence for operators; none repeats the value, which may be a secret.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

from gateway import addresses
from gateway.addresses import Reach
from gateway.types import RateLimit

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PERIODS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0}
_SIZES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|min|m|h|d)?", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kKmMgG]?)", re.ASCII)
_HASH = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LARGEST = 10**15
ACTIONS = ("reject", "throttle", "alert")


def whole(value: Any) -> int:
    """A whole number, also as text, which is what a `${VAR}` gives."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,15}", value.strip()):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or abs(value) > _LARGEST:
        raise ValueError("expected a whole number (write digits only)")
    return int(value)


def real(value: Any) -> float:
    """A finite number, also as text."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,15}(\.[0-9]{1,15})?", value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LARGEST:
        raise ValueError("expected a number (write digits, such as 2 or 0.5)")
    return float(value)


def flag(value: Any) -> bool:
    """true or false, also as text."""
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in {"true", "yes", "on", "1"}:
        return True
    if text in {"false", "no", "off", "0"}:
        return False
    raise ValueError("expected true or false")


def is_on(value: Any) -> bool:
    """Whether this is a flag that says true. What is no flag says nothing: for checks that tolerate wrong types."""
    try:
        return flag(value)
    except ValueError:
        return False


def hedge_after(value: Any) -> float | None:
    """`p95` (None), or a time above zero in seconds."""
    if value == "p95":
        return None
    try:
        seconds = duration(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise ValueError("expected `p95`, or a time above zero such as 500ms")
    return seconds


def duration(value: Any) -> float:
    """Seconds from `500ms`, `10s`, `10m`, `1h`, `1d`, or a plain number of seconds."""
    found = _DURATION.fullmatch(_text(value))
    if found is None:
        raise ValueError("expected a duration (write seconds, or 500ms, 10s, 5m, 1h)")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def size(value: Any) -> int:
    """A count from `200k`, `5M`, or a plain whole number; k, M and G are powers of a thousand."""
    found = _SIZE.fullmatch(_text(value))
    number = Fraction(found[1]) * _SIZES[found[2].lower()] if found is not None else Fraction(1, 2)
    if number.denominator != 1 or number > _LARGEST:
        raise ValueError("expected a count (write a whole number, or 200k, 5M)")
    return int(number)


def rate(value: Any) -> RateLimit:
    """`500/min`, `200k/min`, `20/s`, or a mapping of `rate` and `burst`."""
    if isinstance(value, dict):
        return _rate_with_burst(value)
    count_text, slash, period = _text(value).partition("/")
    seconds = _PERIODS.get(period.strip().lower())
    if not slash or seconds is None:
        raise ValueError("expected a rate (write a count and a period: 20/s, 500/min, 200k/h, 5M/day)")
    count = size(count_text.strip())
    if count < 1:
        raise ValueError("a rate must allow at least 1 (raise it, or remove the limit)")
    return RateLimit(count, seconds)


def _rate_with_burst(value: dict[str, Any]) -> RateLimit:
    if set(value) != {"rate", "burst"}:
        raise ValueError("expected a rate (write 500/min, or {rate: 500/min, burst: 50})")
    base, burst = rate(value["rate"]), size(value["burst"])
    if burst < 1:
        raise ValueError("`burst` must be at least 1")
    return RateLimit(base.count, base.period, burst)


def provider_rate(value: Any) -> RateLimit:
    """A rate, or a plain number of requests per second; fractions become whole counts over a longer period."""
    try:
        number = real(value)
    except ValueError:
        return rate(value)
    exact = Fraction(number).limit_denominator(86400)
    if exact <= 0:
        raise ValueError("a rate must be above 0 (raise it, or remove the limit)")
    return RateLimit(exact.numerator, float(exact.denominator))


def url(value: Any) -> str:
    """An http(s) address without user, query or fragment; the trailing slash is dropped."""
    address = _address(value)
    if "?" in address:
        raise ValueError("an address must not hold a query or fragment (remove what follows `?` or `#`)")
    return address.rstrip("/")


def webhook(value: Any) -> str:
    """An http(s) address without user or fragment, kept as it is; a query may hold its token."""
    return _address(value)


def _address(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii() or any(letter <= " " for letter in value) or "\\" in value:
        raise ValueError("expected an address (write https://host/path)")
    try:
        parts = urlsplit(value)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or parts.scheme not in {"http", "https"}:
        raise ValueError("expected an address (write https://host/path or http://host:port/path)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address must not hold a user or password (use `api_key` or `headers`)")
    address = addresses.literal(parts.hostname or "")
    if address is not None and addresses.reach_of(address) is Reach.FORBIDDEN:
        raise ValueError(
            "nothing can be called at this address: it is a metadata service, link-local or reserved (correct it)"
        )
    if "#" in value:
        raise ValueError("an address must not hold a query or fragment (remove what follows `?` or `#`)")
    return value


def names_private(address: str) -> bool:
    """Whether an http(s) address itself says that it is on this machine or in a private network."""
    return addresses.names_private(urlsplit(address).hostname or "")


def label(value: Any) -> str:
    """A word that becomes part of a host name: a region, a resource."""
    if not isinstance(value, str) or _LABEL.fullmatch(value) is None:
        raise ValueError("expected letters, digits and dashes (it becomes part of a host name)")
    return value


def text(value: Any) -> str:
    """Text that is not empty."""
    if not isinstance(value, str):
        raise ValueError("expected text (put it in quotes)")
    if not value:
        raise ValueError("there is no text in it (write some, or remove the setting)")
    return value


def credential(value: Any) -> str:
    """Text that may stand in a header: printable ASCII, no spaces."""
    said = text(value)
    if not said.isascii() or any(letter <= " " or letter == "\x7f" for letter in said):
        raise ValueError("a credential is ASCII without spaces or line breaks (check how it was copied)")
    return said


def credentials(value: Any) -> tuple[str, ...]:
    """One credential or a list of them."""
    if isinstance(value, list):
        if not value:
            raise ValueError("expected at least one key (add one, or remove the setting)")
        return tuple(credential(item) for item in value)
    return (credential(value),)


def secret(value: Any) -> str:
    """The secret of a virtual key: at least 32 characters."""
    found = credential(value)
    if len(found) < 32:
        raise ValueError("a secret needs at least 32 characters (create one with `gateway keys create`)")
    return found


def secret_hash(value: Any) -> bytes:
    """The digest in a hexadecimal SHA-256, with or without the prefix `sha256:`."""
    found = _HASH.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("expected the SHA-256 of a secret (64 hexadecimal digits)")
    return bytes.fromhex(found[1])


def words(value: Any) -> tuple[str, ...]:
    """One word or a list of words."""
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        raise ValueError("expected a word or a list of words")
    return tuple(items)


def action(value: Any) -> tuple[str, str | None]:
    """What happens when a quota is used up and, for `downgrade`, the model to switch to."""
    if isinstance(value, str) and value in ACTIONS:
        return value, None
    if isinstance(value, dict) and list(value) == ["downgrade"]:
        model = value["downgrade"]
        if isinstance(model, str) and model:
            return "downgrade", model
    raise ValueError("expected reject, throttle, alert or {downgrade: <model>}")


def _text(value: Any) -> str:
    """Numbers and text in one form; anything else matches nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return "?"
    return format(value, "f") if isinstance(value, float) else str(value).strip()
