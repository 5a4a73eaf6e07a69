"""Usage, cost and failures over the admin API."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import orjson
import pytest

from gateway.types import LedgerState
from gateway.usage.ledger import Ledger
from tests.support.admin import AdminApi
from tests.support.ledger import START, row

SINCE = "2026-11-01"
UNTIL = "2026-11-20"


async def filled(api: AdminApi) -> None:
    """A ledger with two keys, a failure and an attempt that nobody paid for."""
    rows = [
        row(key="ci", cost_nano_usd=1_250_000_001),
        row(key="ci", cost_nano_usd=1),
        row(key="=HYPERLINK(1)", team="sales", cost_nano_usd=5_000_000_000, started_at=START + 60_000_000),
        row(key="ci", state=LedgerState.RELEASED, status=502, reason="connect_refused", cost_nano_usd=0),
        row(key="ci", state=LedgerState.RELEASED, status=429, reason="429", provider="azure", cost_nano_usd=0),
        row(key="ci", state=LedgerState.RELEASED, status=504, reason="ttfb_timeout", cost_nano_usd=0),
    ]
    await Ledger(api.services.database).write(rows)


async def test_sums_keep_every_digit(api: AdminApi) -> None:
    """By key, the dearest first, money as decimal numbers, a total, and a mark when groups are cut off."""
    await filled(api)
    answer = await api.call("GET", "/usage", params={"by": "key", "since": SINCE})
    report = orjson.loads(answer.content)
    assert [line["key"] for line in report["rows"]] == ["=HYPERLINK(1)", "ci"]
    assert b'"cost_usd":1.250000002' in answer.content
    assert (report["total"]["requests"], report["truncated"]) == (3, False)
    cut = (await api.call("GET", "/usage", params={"by": "key,provider", "since": SINCE, "limit": "1"})).json()
    assert (len(cut["rows"]), cut["truncated"], cut["total"]["attempts"]) == (1, True, 6)
    one = (await api.call("GET", "/usage", params={"by": "day", "key": "ci", "since": SINCE})).json()
    assert [line["day"] for line in one["rows"]] == ["2026-11-01T00:00:00.000000Z"]


async def test_csv_runs_no_formula(api: AdminApi) -> None:
    """What a spreadsheet would run is quoted, in reports and in attempts."""
    await filled(api)
    for path, query, lines in (("/usage.csv", {"by": "key"}, 2), ("/usage/attempts.csv", {}, 6)):
        answer = await api.call("GET", path, params={"since": SINCE, **query})
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == lines
        assert {line["key"] for line in rows} == {"ci", "'=HYPERLINK(1)"}
        assert sum(Decimal(line["cost_usd"]) for line in rows) == Decimal("6.250000002")


async def test_attempts_come_in_pages(api: AdminApi) -> None:
    """Every attempt once, the newest first."""
    await filled(api)
    seen: list[tuple[str, int]] = []
    query = {"limit": "4"}
    for size in (4, 2):
        page = (await api.call("GET", "/usage/attempts", params=query)).json()
        assert len(page["items"]) == size
        seen += [(one["call_id"], one["attempt"]) for one in page["items"]]
        query = {"limit": "4", "cursor": page["next_cursor"]}
    assert len(set(seen)) == 6
    assert page["next_cursor"] is None


async def test_failures_are_counted_in_the_standard_words(api: AdminApi) -> None:
    """By provider and type, with the exact reasons and their share of the provider's attempts."""
    await filled(api)
    report = (await api.call("GET", "/errors", params={"since": SINCE, "until": UNTIL})).json()
    assert report["attempts"] == {"openai": 5, "azure": 1}
    found = {(one["provider"], one["type"]): one for one in report["items"]}
    assert set(found) == {
        ("azure", "rate_limit_exceeded"),
        ("openai", "api_error"),
        ("openai", "request_timeout"),
    }
    assert found["openai", "request_timeout"]["reasons"] == [{"reason": "ttfb_timeout", "count": 1}]
    assert found["openai", "request_timeout"]["share"] == pytest.approx(0.2)
    only = (
        await api.call("GET", "/providers/errors", params={"since": SINCE, "until": UNTIL, "provider": "azure"})
    ).json()
    assert {one["provider"] for one in only["items"]} == {"azure"}


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/usage", {"by": "colour"}, "by"),
        ("/usage", {"by": "key,key"}, "by"),
        ("/usage", {"by": "key,team,user,model,route"}, "by"),
        ("/usage", {"since": "yesterday"}, "since"),
        ("/usage", {"since": "2026-11-02", "until": "2026-11-01"}, "until"),
        ("/usage", {"limit": "0"}, "limit"),
        ("/usage/attempts", {"cursor": "bm9uc2Vuc2U"}, "cursor"),
        ("/usage/attempts", {"cursor": "WyItYXQiLDEsImEiLDQwMDAwXQ"}, "cursor"),
        ("/errors", {"since": "2026-13-01"}, "since"),
        ("/errors", {"since": "2020-01-01"}, "since"),
    ],
)
async def test_what_cannot_be_asked_is_told_by_field(
    sqlite_api: AdminApi, path: str, query: dict[str, str], field: str
) -> None:
    """422 that names the parameter."""
    answer = await sqlite_api.call("GET", path, params=query)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field), answer.text
