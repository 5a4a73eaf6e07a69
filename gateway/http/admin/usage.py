"""Usage and cost: sums, single attempts, and both as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Response
from pydantic import AfterValidator
from starlette.responses import StreamingResponse

from gateway.auth.admins import Role
from gateway.http.admin.moments import Since, Until, microseconds
from gateway.http.admin.paging import Limit, bad_cursor, read_cursor, write_cursor
from gateway.http.admin.problems import Invalid
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import Services, ServicesDep
from gateway.http.admin.usage_shapes import Attempts, UsageReport
from gateway.types import LedgerRow
from gateway.usage.reports import DIMENSIONS, MOST_GROUPS, TIMES, Line, Selection, attempts, report
from gateway.usage.rollup import END
from gateway.usage.shapes import Money, guarded, line_values, row_values

routes = Routes("usage")

WORDS = (*DIMENSIONS, *TIMES)
MOST_WORDS = 4
_CSV_ROWS = 1_000_000
_CHUNK = 64 * 1024
_CSV = {
    200: {
        "description": "CSV with a line of names first; text that a spreadsheet would run as a formula is quoted.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}


def _groups(text: str) -> str:
    words = text.split(",")
    unknown = [word for word in words if word not in WORDS]
    if unknown or len(set(words)) != len(words) or len(words) > MOST_WORDS:
        raise ValueError(f"use up to {MOST_WORDS} different words of {', '.join(WORDS)}, with commas")
    return text


By = Annotated[
    str,
    Query(
        max_length=100, description=f"Group by these words, with commas: {', '.join(WORDS)}.", examples=["team,model"]
    ),
    AfterValidator(_groups),
]
_Word = Annotated[str | None, Query(max_length=300)]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which attempts count."""

    since: Since = None
    until: Until = None
    key: _Word = None
    team: _Word = None
    user: _Word = None
    model: _Word = None
    served_model: _Word = None
    provider: _Word = None
    deployment: _Word = None
    route: _Word = None
    service: _Word = None

    def selection(self) -> Selection:
        """As the ledger takes it. Raises Invalid for a span of time that nothing can be in."""
        since, until = microseconds(self.since, 0), microseconds(self.until, END)
        if until <= since:
            raise Invalid(
                "until: this is not after `since`", field="until", suggestions=["Swap them, or leave one out."]
            )
        where = {word: getattr(self, word) for word in DIMENSIONS}
        return Selection(since, until, {word: value for word, value in where.items() if value is not None})


Filter = Annotated[Chosen, Depends()]


@routes.get("/usage", "/usage/costs", policy=Role.VIEWER, summary="Report usage and cost")
async def usage_report(
    services: ServicesDep,
    chosen: Filter,
    by: By = "key",
    limit: Annotated[int, Query(ge=1, le=MOST_GROUPS, description="How many groups at most, the dearest first.")] = 100,
) -> UsageReport:
    """Sums of requests, tokens and cost by group; `total` counts groups that are cut off, too."""
    return await reported(services, chosen, by, limit)


async def reported(services: Services, chosen: Chosen, by: str, limit: int) -> UsageReport:
    """The report, written by hand: its money keeps every digit."""
    groups = by.split(",")
    found = await report(services.database, groups, chosen.selection(), limit=limit)
    document = {
        "group_by": groups,
        "rows": [_plain(line_values(line, groups)) for line in found.lines],
        "total": _plain(line_values(found.total, ())),
        "truncated": found.truncated,
    }
    return Response(orjson.dumps(document), media_type="application/json")  # type: ignore[return-value]


@routes.get("/usage.csv", policy=Role.VIEWER, summary="Export a report", responses=_CSV, response_class=Response)
async def usage_csv(services: ServicesDep, chosen: Filter, by: By = "key") -> Response:
    """The report as CSV, of at most 10,000 groups."""
    groups = by.split(",")
    found = await report(services.database, groups, chosen.selection(), limit=MOST_GROUPS)
    names = list(line_values(Line(("",) * len(groups), found.total.counters), groups))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(guarded(line_values(line, groups)) for line in found.lines)
    return Response(text.getvalue(), media_type="text/csv", headers=_named("usage"))


@routes.get("/usage/attempts", policy=Role.VIEWER, summary="List attempts")
async def usage_attempts(
    services: ServicesDep,
    chosen: Filter,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before.")] = None,
) -> Attempts:
    """Single attempts, the newest first: each row of the ledger."""
    selection = chosen.selection()
    after = _place(cursor)
    rows = [row async for row in attempts(services.database, selection, limit=limit + 1, after=after)]
    more = len(rows) > limit
    rows = rows[:limit]
    last = rows[-1] if more else None
    document = {
        "items": [_plain(row_values(row)) for row in rows],
        "next_cursor": None if last is None else write_cursor("-at", (last.started_at, last.call_id, last.attempt)),
    }
    return Response(orjson.dumps(document), media_type="application/json")  # type: ignore[return-value]


@routes.get(
    "/usage/attempts.csv", policy=Role.VIEWER, summary="Export attempts", responses=_CSV, response_class=Response
)
async def usage_attempts_csv(
    services: ServicesDep,
    chosen: Filter,
    limit: Annotated[int, Query(ge=1, le=_CSV_ROWS, description="How many at most.")] = 100_000,
) -> Response:
    """Single attempts as CSV, the newest first, sent as they are read."""
    rows = attempts(services.database, chosen.selection(), limit=limit)
    first = await anext(rows, None)  # a database that is away is told before the answer begins
    return StreamingResponse(_lines(first, rows), media_type="text/csv", headers=_named("attempts"))


async def _lines(first: LedgerRow | None, rows: AsyncIterator[LedgerRow]) -> AsyncIterator[bytes]:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*LedgerRow.__struct_fields__, "cost_usd"])
    writer.writeheader()
    if first is not None:
        writer.writerow(guarded(row_values(first)))
    async for row in rows:
        writer.writerow(guarded(row_values(row)))
        if text.tell() > _CHUNK:
            yield _taken(text)
    yield _taken(text)


def _taken(text: io.StringIO) -> bytes:
    found = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return found


def _place(cursor: str | None) -> tuple[int, str, int] | None:
    found: Sequence[Any] | None = read_cursor(cursor, "-at", int, str, int)
    if found is None:
        return None
    at, call, attempt = found
    if not 0 <= attempt < 2**15:
        raise bad_cursor()
    return at, call, attempt


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: orjson.Fragment(str(value)) if isinstance(value, Money) else value for name, value in values.items()}


def _named(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}.csv"'}
