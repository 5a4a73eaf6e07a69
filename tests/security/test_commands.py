"""Commands that take text of anybody: no gateway runs beside them here."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.commands.usage import FILTERS
from gateway.usage.ledger import Ledger
from tests.security.carriers import INJECTIONS
from tests.support.ledger import opened, row


def test_no_filter_of_the_commands_is_sql(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Filters compare; they match nothing, break nothing, and no `%` stands for anything."""
    for name in ("DATABASE_URL", "REDIS_URL", "GATEWAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gateway", *arguments])
        code = main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    assert run("keys", "create", "--name", "ci")[0] == 0

    async def book() -> None:
        async with opened(str(tmp_path / "gateway.db")) as database:
            await Ledger(database).write([row()])

    asyncio.run(book())
    for text in (INJECTIONS[0], "%"):
        for word in FILTERS:
            code, out, _ = run("usage", f"--{word}", text, "--by", "day", "--json")
            assert (code, json.loads(out)["rows"]) == (0, [])
    for text in INJECTIONS[:5]:
        assert run("usage", "--rows", "--json", "--model", text) == (0, "", "")
        for refused in (["usage", "--by", text], ["usage", "--since", text], ["keys", "revoke", text]):
            assert run(*refused)[0] == 1
        assert run("keys", "create", "--name", text)[0] == 1
    assert [key["name"] for key in json.loads(run("keys", "list", "--json")[1])["keys"]] == ["ci"]
    assert len(run("usage", "--rows", "--json")[1].splitlines()) == 1
