"""How single values are written."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.registry import scalars
from gateway.registry.yaml_reader import resolve
from gateway.types import RateLimit


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10), ("2.5", 2.5), (7, 7), ("10m", 600), ("10min", 600), ("1h", 3600), ("1d", 86400)],
)
def test_durations(text: Any, seconds: float) -> None:
    """Durations are seconds, or a number with a unit."""
    assert scalars.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1w", "fast", True, None, [], "1e3", "9" * 40, float("nan")])
def test_bad_durations(text: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="expected a duration"):
        scalars.duration(text)


@pytest.mark.parametrize(
    ("text", "count"), [("200k", 200_000), ("5M", 5_000_000), ("1.5k", 1500), (128000, 128000), ("2G", 2_000_000_000)]
)
def test_sizes(text: Any, count: int) -> None:
    """Sizes are whole numbers, or numbers with k, M or G."""
    assert scalars.size(text) == count


@pytest.mark.parametrize("text", ["", "k", "1.5", "-5", "1T", None, True, 2.5])
def test_bad_sizes(text: Any) -> None:
    """A size that is no whole number is refused."""
    with pytest.raises(ValueError, match="expected a count"):
        scalars.size(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("500/min", RateLimit(500, 60)),
        ("200k/min", RateLimit(200_000, 60)),
        ("20/s", RateLimit(20, 1)),
        ("5M/day", RateLimit(5_000_000, 86400)),
        ("7 / h", RateLimit(7, 3600)),
        ({"rate": "60/min", "burst": 10}, RateLimit(60, 60, 10)),
    ],
)
def test_rates(text: Any, rate: RateLimit) -> None:
    """Rates are a count and a period, and a burst if one is given."""
    assert scalars.rate(text) == rate


@pytest.mark.parametrize(
    ("value", "rate"), [(20, RateLimit(20, 1)), (0.5, RateLimit(1, 2)), ("1/h", RateLimit(1, 3600))]
)
def test_provider_rates(value: Any, rate: RateLimit) -> None:
    """A provider's plain number is requests per second, fractions included."""
    assert scalars.provider_rate(value) == rate


@pytest.mark.parametrize("value", [0, -1, "0/s", "5", "5/fortnight", {}, None, True])
def test_bad_rates(value: Any) -> None:
    """A rate without period, or that allows nothing, is refused."""
    with pytest.raises(ValueError, match="rate"):
        scalars.rate(value)


@pytest.mark.parametrize(
    "value",
    [
        "https://",
        "https://h:99999/",
        "https://h:0/",
        "//host",
        "file:///etc/passwd",
        "https://a@b/",
        "https://h/?q=1",
        "https://h/#f",
        "https://h/?",
        "https://h/a b",
        "https://h\\@evil/",
        "https://[::1",
        "https://hö.example/",
        5,
        None,
    ],
)
def test_bad_addresses(value: Any) -> None:
    """An address is http or https with a host, and no user, query or fragment."""
    with pytest.raises(ValueError, match="address"):
        scalars.url(value)


def test_addresses_lose_their_trailing_slash() -> None:
    """Paths are appended to it, so it ends without one."""
    assert scalars.url("https://[::1]:8443/v1/") == "https://[::1]:8443/v1"


@pytest.mark.parametrize("value", ["a b", "a\nb", "ä", "", None, 5, "a\x7f"])
def test_bad_credentials(value: Any) -> None:
    """A credential that could not stand in a header is refused."""
    with pytest.raises(ValueError, match=r"credential|text"):
        scalars.credential(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("off", "off"),
        ("True", True),
        ("tRue", "tRue"),
        ("~", None),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("9" * 30, "9" * 30),
        ("2024-10-21", "2024-10-21"),
        ("12:30:45", "12:30:45"),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    """No sexagesimals, dates or yes/no; what JSON cannot hold stays text."""
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)
