"""What `gateway usage` prints: tables for people, JSON for programs, CSV for spreadsheets."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from rich.console import Console
from rich.table import Table

from gateway.commands.configured import configured
from gateway.commands.words import stamp, usd
from gateway.errors import OperatorError
from gateway.types import LedgerRow
from gateway.usage import reports
from gateway.usage.reports import MOST_GROUPS, TIMES, attempts, report
from gateway.usage.shapes import Money, guarded, line_values, row_values

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.settings import Settings
    from gateway.storage.sql.database import Database
    from gateway.usage.reports import Line, Report, Selection
    from gateway.usage.reprice import PriceOf, Repriced

SHOWN_ROWS = 50
COLUMNS = (
    *("requests", "attempts", "of them failed", "input", "output", "cost USD", "unpriced"),
    *("p50 ms", "p95 ms", "TTFT p50", "p95"),
)
"""A request that failed over has failed attempts and was served all the same."""


class Form(Protocol):
    """One way to print."""

    async def report(
        self, database: Database, group_by: Sequence[str], selection: Selection, limit: int | None
    ) -> None: ...

    async def rows(self, database: Database, selection: Selection, limit: int | None) -> None: ...


def form(*, as_json: bool, as_csv: bool) -> Form:
    """The form that the options ask for. Raises OperatorError when they ask for two."""
    if as_json and as_csv:
        raise OperatorError("--json and --csv: use one of them")
    return _Json() if as_json else _Csv() if as_csv else _Text()


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: orjson.Fragment(str(value)) if isinstance(value, Money) else value for name, value in values.items()}


def _write(data: bytes) -> None:
    sys.stdout.write(data.decode() + "\n")


class _Json:
    """For programs."""

    async def report(
        self, database: Database, group_by: Sequence[str], selection: Selection, limit: int | None
    ) -> None:
        found = await report(database, group_by, selection, limit=limit or MOST_GROUPS)
        _write(
            orjson.dumps(
                {
                    "group_by": ",".join(group_by),
                    "rows": [_plain(line_values(line, group_by)) for line in found.lines],
                    "total": _plain(line_values(found.total, ())),
                    "truncated": found.truncated,
                }
            )
        )

    async def rows(self, database: Database, selection: Selection, limit: int | None) -> None:
        async for row in attempts(database, selection, limit=limit):
            _write(orjson.dumps(_plain(row_values(row))))


class _Csv:
    """For spreadsheets: a line with the names first."""

    async def report(
        self, database: Database, group_by: Sequence[str], selection: Selection, limit: int | None
    ) -> None:
        found = await report(database, group_by, selection, limit=limit or MOST_GROUPS)
        names = list(line_values(reports.Line(("",) * len(group_by), found.total.counters), group_by))
        writer = csv.DictWriter(sys.stdout, names)
        writer.writeheader()
        writer.writerows(guarded(line_values(line, group_by)) for line in found.lines)

    async def rows(self, database: Database, selection: Selection, limit: int | None) -> None:
        writer = csv.DictWriter(sys.stdout, [*LedgerRow.__struct_fields__, "cost_usd"])
        writer.writeheader()
        async for row in attempts(database, selection, limit=limit):
            writer.writerow(guarded(row_values(row)))


class _Text:
    """For people."""

    async def report(
        self, database: Database, group_by: Sequence[str], selection: Selection, limit: int | None
    ) -> None:
        found = await report(database, group_by, selection, limit=limit or MOST_GROUPS)
        table = _table(group_by, COLUMNS, footer=_cells(found.total))
        for line in found.lines:
            shown = (
                stamp(value)[:16] if word in TIMES and isinstance(value, int) else _name(value)
                for word, value in zip(group_by, line.group, strict=True)
            )
            table.add_row(*shown, *_cells(line))
        _print(table, _note(found))

    async def rows(self, database: Database, selection: Selection, limit: int | None) -> None:
        table = _table(
            ("started", "call", "key", "model", "served by"),
            ("status", "reason", "state", "input", "output", "cost USD", "ms"),
        )
        async for row in attempts(database, selection, limit=limit or SHOWN_ROWS):
            table.add_row(
                *(stamp(row.started_at)[:19], f"{row.call_id}/{row.attempt}", row.key, _name(row.requested_model)),
                *(_name(row.deployment), str(row.status), row.reason, row.state.value, _number(row.input_tokens)),
                *(_number(row.output_tokens), "unknown" if row.cost_nano_usd is None else usd(row.cost_nano_usd)),
                f"{row.duration_ms:,.0f}",
            )
        _print(table, "")


def _table(left: Sequence[str], right: Sequence[str], footer: Sequence[str] = ()) -> Table:
    table = Table(box=None, show_footer=bool(footer), header_style="bold", footer_style="bold")
    for index, name in enumerate(left):
        table.add_column(name, "total" if index == 0 else "", overflow="fold")
    for name, total in zip(right, footer or [""] * len(right), strict=True):
        table.add_column(name, total, justify="right", no_wrap=True)
    return table


def _cells(line: Line) -> tuple[str, ...]:
    return (
        *(_number(line[name]) for name in ("requests", "attempts", "errors", "input_tokens", "output_tokens")),
        usd(line["cost_nano_usd"]),
        _number(line["unpriced"]),
        *(_ms(line.latency_ms(0.5)), _ms(line.latency_ms(0.95)), _ms(line.ttft_ms(0.5)), _ms(line.ttft_ms(0.95))),
    )


def _name(value: object) -> str:
    # A client chooses the name of a model: no control character of it reaches the terminal.
    return "-" if value is None else "".join(c if c.isprintable() else "\ufffd" for c in str(value))


def _number(value: int) -> str:
    return f"{value:,}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _note(found: Report) -> str:
    released = found.total["released_nano_usd"]
    notes = []
    if found.truncated:
        notes.append(f"The first {len(found.lines)} groups; the total counts all of them.")
    if released:
        notes.append(f"Attempts that no caller paid for cost {usd(released)} USD.")
    if found.total["unpriced"]:
        notes.append("Unpriced requests are not in the cost: set a price, then `gateway usage reprice`.")
    return " ".join(notes)


def _print(table: Table, note: str) -> None:
    # A pipe has no width: nothing is cut there.
    console = Console(width=None if sys.stdout.isatty() else 10_000, markup=False, highlight=False, soft_wrap=True)
    if table.row_count:
        console.print(table)
    else:
        console.print("Nothing in the ledger for this selection.")
    if note:
        console.print(note)


def repriced_json(result: Repriced) -> str:
    """The result of a reprice."""
    return orjson.dumps(
        {
            "seen": result.seen,
            "changed": result.changed,
            "newly_priced": result.newly_priced,
            "unpriced": result.unpriced,
            "cost_difference_usd": orjson.Fragment(usd(result.difference)),
            "gateway_cost_difference_usd": orjson.Fragment(usd(result.released_difference)),
        }
    ).decode()


def prices(settings: Settings, config: Path | None) -> PriceOf:
    """Prices as the gateway that runs here has them, else the catalogue's. Raises OperatorError for a bad
    configuration."""
    from gateway.usage.catalogue import ConfiguredPrices, PriceBook  # noqa: PLC0415

    return ConfiguredPrices(configured(settings, config), PriceBook()).price_of
