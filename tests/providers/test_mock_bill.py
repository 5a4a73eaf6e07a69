"""The mock's bill: exact totals over bounded memory."""

from __future__ import annotations

import orjson
import pytest

from gateway.providers.scripted import Bill, Send, bill, request_of, respond


def serve(ledger: Bill, text: str) -> None:
    content = orjson.dumps({"model": "mock-small", "messages": [{"role": "user", "content": text}]})
    request = request_of("POST", "/v1/chat/completions", [(b"content-type", b"application/json")], content)
    scenario = respond(request)
    entry = ledger.open(request, scenario)
    for step in scenario.steps:
        entry.sent(step.tokens if isinstance(step, Send) else 0)
    entry.close("completed")
    entry.close("cancelled")


def test_old_rows_go_and_totals_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are bounded, totals count every one, and an entry is booked once."""
    monkeypatch.setattr(bill, "MAX_ROWS", 3)
    ledger = Bill(clock=lambda: 12.5)
    for _ in range(5):
        serve(ledger, "four")
    assert [row.id for row in ledger.rows] == ["bill-3", "bill-4", "bill-5"]
    assert ledger.totals == {
        "requests": 5,
        "input_tokens": 5,
        "output_tokens": 15,
        "completed": 5,
        "cut": 0,
        "cancelled": 0,
    }
    assert ledger.rows[0].at == 12.5
    ledger.reset()
    assert ledger.as_json()["rows"] == []
    assert set(ledger.totals.values()) == {0}
    serve(ledger, "four")
    assert ledger.rows[0].id == "bill-6"


def test_long_bodies_are_kept_cut() -> None:
    """A request that was seen holds at most 64 KiB of its body."""
    ledger = Bill()
    serve(ledger, "x" * 100_000)
    assert len(ledger.seen[0].body) == 64 * 1024
