"""Ledger rows, a ledger in memory, and looks into one on disk."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.types import LedgerRow, LedgerState

START = 1_790_000_000_000_000
"""Unix microseconds."""


def row(call_id: str, attempt: int = 1, **fields: Any) -> LedgerRow:
    """One settled attempt."""
    known: dict[str, Any] = {
        "request_id": f"req-{call_id}",
        "state": LedgerState.SETTLED,
        "started_at": START,
        "key": "ci",
        "team": "research",
        "user_hash": None,
        "route": "chat",
        "service": "chat",
        "requested_model": "mock-small",
        "provider": "mock",
        "deployment": "mock/mock-small",
        "model": "mock-small",
        "stream": False,
        "status": 200,
        "reason": "ok",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_nano_usd": 1000,
    }
    return LedgerRow(call_id=call_id, attempt=attempt, **{**known, **fields})


def calls(path: Path) -> list[str]:
    """The call ids in a SQLite ledger, duplicates included."""
    if not path.exists():
        return []
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return [call for (call,) in connection.execute("SELECT call_id FROM usage ORDER BY call_id")]
    except sqlite3.OperationalError:
        return []  # not migrated yet
    finally:
        connection.close()


@contextmanager
def tiny_file_system(mount: Path) -> Iterator[Path]:
    """Three megabytes to be filled up; the test is skipped without the right to mount."""
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(mount)]
    try:
        made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("no permission to mount")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(path: Path) -> None:
    """Write this file until its disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


class Away(Exception):
    """The ledger in memory plays a database that is away."""


class MemoryLedger:
    """As the real one, in a dictionary; `away` and `slow` make trouble."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], LedgerRow] = {}
        self.writes = 0
        self.questions = 0
        self.away = False
        self.slow = 0.0
        self.refuses: Callable[[LedgerRow], bool] = lambda _: False

    async def write(self, rows: Sequence[LedgerRow]) -> int:
        """Raises Away while away, ValueError for refused rows."""
        self.writes += 1
        await asyncio.sleep(self.slow)
        if self.away:
            raise Away
        if any(map(self.refuses, rows)):
            raise ValueError("refused")
        before = len(self.rows)
        for row in rows:
            self.rows.setdefault((row.call_id, row.attempt), row)
        return len(self.rows) - before

    async def used(self, scope: str, name: str, kind: str, start_us: int, end_us: int) -> int:
        """The sum over the rows of a key, a team, or everybody."""
        self.questions += 1
        await asyncio.sleep(self.slow)
        if self.away:
            raise Away
        amount: dict[str, Callable[[LedgerRow], int]] = {
            "requests": lambda _: 1,
            "tokens": lambda row: row.input_tokens + row.output_tokens,
            "cost": lambda row: row.cost_nano_usd or 0,
        }
        found = [row for row in self.rows.values() if scope == "global" or getattr(row, scope) == name]
        return sum(amount[kind](row) for row in found if start_us <= row.started_at < end_us)
