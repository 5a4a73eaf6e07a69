"""`gateway usage` and `gateway migrate`: what people, programs and spreadsheets get."""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli import main
from gateway.registry.resources.fragment import Credential, Fragment, Owner, Piece
from gateway.registry.resources.shelf import Shelf
from gateway.storage.sql.migrate import expected_revision
from gateway.types import LedgerRow, LedgerState
from gateway.usage.ledger import Ledger
from tests.support.ledger import SECOND, START, opened, row

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent
Run = tuple[int, str, str]
RED = "\x1b[31mred"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[[str], Run]:
    """Runs the command in a data directory of its own: exit code, standard output, standard error."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))

    def call(line: str) -> Run:
        monkeypatch.setattr(sys, "argv", ["gateway", *line.split()])
        try:
            code = main()
        except SystemExit as left:
            code = int(str(left.code))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def filled(run: Callable[[str], Run], tmp_path: Path) -> list[LedgerRow]:
    """Some rows in that directory's ledger."""
    assert run("migrate")[0] == 0
    rows = [
        row(key="ci", cost_nano_usd=1, started_at=START),
        row(key="ci", cost_nano_usd=12_500, started_at=START + SECOND, ttft_ms=None),
        row(key="prod", team=None, cost_nano_usd=3 * 10**9 + 7, started_at=START + 2 * SECOND),
        row(key="prod", team=None, cost_nano_usd=None, price_version=None, started_at=START + 3 * SECOND),
        row(key="prod", state=LedgerState.RELEASED, reason="stall", cost_nano_usd=5, started_at=START + 4 * SECOND),
        row(
            key="=cmd()", cost_nano_usd=0, started_at=START + 5 * SECOND, user_hash="u1", requested_model="\x1b[31mred"
        ),
    ]

    async def write() -> None:
        async with opened(str(tmp_path / "data" / "gateway.db")) as database:
            await Ledger(database).write(rows)

    asyncio.run(write())
    return rows


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def test_nothing_yet(run: Callable[[str], Run]) -> None:
    """Before the first call there is nothing to show, and nothing to prepare."""
    code, out, _ = run("usage")
    assert (code, out) == (0, "Nothing in the ledger for this selection.\n")
    assert json.loads(run("usage --json")[1])["rows"] == []
    assert run("usage --rows --json")[1] == ""


def test_json(run: Callable[[str], Run], filled: list[LedgerRow]) -> None:
    """JSON has the groups, the dearest first, and the total; costs are numbers with every digit."""
    code, out, _ = run("usage --json")
    assert code == 0
    found = exact(out)
    assert found["group_by"] == "key"
    assert [line["key"] for line in found["rows"]] == ["prod", "ci", "=cmd()"]
    prod, ci, _ = found["rows"]
    assert (ci["requests"], ci["input_tokens"], ci["output_tokens"]) == (2, 20, 10)
    assert ci["cost_usd"] == Decimal("0.000012501")
    assert prod["cost_usd"] == Decimal("3.000000007")
    assert (prod["requests"], prod["attempts"], prod["errors"], prod["unpriced"]) == (2, 3, 1, 1)
    assert prod["gateway_cost_usd"] == Decimal("0.000000005")
    assert 700 < ci["latency_p50_ms"] < 1200
    assert found["total"]["requests"] == 5
    assert found["total"]["cost_usd"] == Decimal("3.000012508")


def test_json_groups_and_filters(run: Callable[[str], Run], filled: list[LedgerRow]) -> None:
    """Groups may be several; filters and times narrow what counts."""
    found = exact(run("usage --by day,team --json")[1])
    assert found["group_by"] == "day,team"
    assert {(line["day"], line["team"]) for line in found["rows"]} == {
        ("2026-11-01T00:00:00.000000Z", "research"),
        ("2026-11-01T00:00:00.000000Z", None),
    }
    narrow = "usage --by model --key ci --since 2026-11-01T01:00:01Z --until 2026-11-02 --json"
    assert exact(run(narrow)[1])["total"]["requests"] == 1
    assert exact(run("usage --user u1 --json")[1])["total"]["requests"] == 1
    limited = exact(run("usage --limit 1 --json")[1])
    assert (len(limited["rows"]), limited["truncated"], limited["total"]["requests"]) == (1, True, 5)


def test_rows(run: Callable[[str], Run], filled: list[LedgerRow]) -> None:
    """`--rows --json` has one attempt per line, the newest first, with every column of the ledger."""
    lines = [exact(line) for line in run("usage --rows --json")[1].splitlines()]
    assert [line["call_id"] for line in lines] == [one.call_id for one in reversed(filled)]
    last = lines[-1]
    assert set(LedgerRow.__struct_fields__) <= set(last)
    assert (last["state"], last["started_at"]) == ("settled", "2026-11-01T01:00:00.000000Z")
    assert (last["cost_nano_usd"], last["cost_usd"]) == (1, Decimal("0.000000001"))
    assert len(run("usage --rows --json --limit 2 --key prod")[1].splitlines()) == 2


def test_table(run: Callable[[str], Run], filled: list[LedgerRow]) -> None:
    """People get a table with a total, and notes on what is not in it."""
    code, out, _ = run("usage")
    assert code == 0
    assert "3.000000007" in out
    assert out.splitlines()[-1].startswith("Attempts that no caller paid for cost 0.000000005 USD. Unpriced requests")
    [total] = [line for line in out.splitlines() if line.split()[:1] == ["total"]]
    assert total.split()[1:4] == ["5", "6", "1"]
    rows = run("usage --rows")[1]
    assert "unknown" in rows
    assert "\x1b" not in rows
    assert "\ufffd[31mred" in rows


def test_csv(run: Callable[[str], Run], filled: list[LedgerRow]) -> None:
    """CSV has a line of names; text that a spreadsheet would run is quoted."""
    lines = list(csv.DictReader(run("usage --csv")[1].splitlines()))
    assert [(line["key"], line["cost_usd"]) for line in lines] == [
        ("prod", "3.000000007"),
        ("ci", "0.000012501"),
        ("'=cmd()", "0"),
    ]
    attempts = run("usage --rows --csv")[1].splitlines()
    assert len(list(csv.DictReader(attempts))) == 6
    assert run("usage --rows --csv --key nobody")[1].splitlines() == attempts[:1]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("usage --by colour", "--by: 'colour' is unknown (use key, team,"),
        ("usage --since never", "--since: 'never' is no time"),
        ("usage --json --csv", "use one of them"),
        ("usage --since 1h --until 2h", "--until: '2h' is not after --since"),
        ("usage reprice --since 2026-11-02 --until 2026-11-01", "not after --since"),
        ("usage --limit 0", "--limit: use 1 to "),
        ("usage --limit 99999999999999999999", "--limit: use 1 to "),
        ("usage --key \udcff", "is not UTF-8 text"),
        ("keys revoke \udcff", "is not UTF-8 text"),
        ("usage reprice --since 2026-31-01", "--since"),
    ],
)
def test_mistakes(run: Callable[[str], Run], line: str, advice: str) -> None:
    """A mistake is named with what to do, exit code 1, no traceback."""
    code, out, err = run(line)
    assert (code, out) == (1, "")
    assert advice in err
    assert len(err.splitlines()) == 1


def test_reprice(run: Callable[[str], Run], filled: list[LedgerRow], tmp_path: Path) -> None:
    """Repricing takes the configuration's prices, and says how many attempts changed and by how much."""
    config = tmp_path / "gateway.yaml"
    config.write_text(
        "version: 1\nproviders:\n  openai:\n    type: openai\n    api_key: sk-none\n    models:\n"
        "      gpt-4o: {price: {input: 1.0, output: 2.0}}\n"
    )
    code, out, _ = run(f"usage reprice --since 2026-11-01 --config {config} --json")
    assert code == 0
    # 10 input and 5 output tokens at 1 and 2 dollars a million: 20,000 nano-dollars each.
    found = exact(out)
    assert (found["seen"], found["changed"], found["newly_priced"], found["unpriced"]) == (6, 6, 1, 0)
    assert found["cost_difference_usd"] == Decimal("0.0001") - Decimal("3.000012508")
    assert exact(run("usage --json")[1])["total"]["cost_usd"] == Decimal("0.0001")
    code, out, _ = run(f"usage reprice --since 2026-11-01 --config {config}")
    assert out.startswith("0 of 6 attempts since 2026-11-01T00:00:00.000000Z")


def test_prices_made_over_the_api_count(run: Callable[[str], Run], filled: list[LedgerRow], tmp_path: Path) -> None:
    """They go before the catalogue's, as when the calls were made."""
    config = tmp_path / "gateway.yaml"
    config.write_text("version: 1\nproviders: {mock: {type: mock, models: [mock-small]}}\n")
    model = Piece("m-1", "gpt-4o", {"price": {"input": 1.0, "output": 2.0}})
    sealed = Credential("c-1", "main", secret="nobody can open this", fields=["api_key"])
    Shelf(tmp_path / "data").keep(Fragment(1, [Owner("p-1", "openai", {"type": "openai"}, [model], [sealed])]))
    assert run(f"usage reprice --since 2026-11-01 --config {config}")[0] == 0
    assert exact(run("usage --json")[1])["total"]["cost_usd"] == Decimal("0.0001")


def test_migrate(run: Callable[[str], Run], tmp_path: Path) -> None:
    """`gateway migrate` says where the database stands; again does no harm; the file is ours alone."""
    for _ in range(2):
        assert run("migrate") == (0, f"The database is at revision {expected_revision()}.\n", "")
    with sqlite3.connect(tmp_path / "data" / "gateway.db") as connection:
        assert connection.execute("SELECT count(*) FROM usage").fetchone() == (0,)
    connection.close()


def test_database_away(run: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its database a command says which, without the password."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2hunter2@127.0.0.1:1/none")
    for line in ("usage", "migrate"):
        code, out, err = run(line)
        assert (code, out) == (1, "")
        assert "127.0.0.1:1 cannot be used" in err
        assert "hunter2" not in err


def test_light_imports() -> None:
    """The command line itself, and so `gateway serve`, loads nothing of SQL."""
    heavy = ("sqlalchemy", "alembic", "psycopg", "genai_prices")
    code = f"import sys, gateway.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
