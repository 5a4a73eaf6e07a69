"""The audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query
from starlette.responses import StreamingResponse

from gateway.audit import reading
from gateway.auth.admins import Role
from gateway.http.admin.moments import Since, Until, microseconds
from gateway.http.admin.paging import Cursor, Limit, cut, read_cursor
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import ServicesDep
from gateway.http.admin.shapes import Page, Shown, Stamp
from gateway.usage.wording import stamp

routes = Routes("audit")
_SORT = "-seq"
_PIECE = 64
"""Entries that are written at once."""
Word = Annotated[str | None, Query(max_length=200)]


class AuditRecord(Shown):
    """Who did what to which resource, what it was and is, when, from where, by which request."""

    seq: int
    at: int
    time: Stamp
    actor: str
    actor_kind: str
    role: str
    action: str
    resource_kind: str
    resource_id: str
    before: Any
    after: Any
    address: str
    request_id: str
    keyed: bool
    previous: str
    hash: str


def _filter(
    actor: Word = None,
    action: Word = None,
    resource_kind: Word = None,
    resource_id: Word = None,
    request_id: Word = None,
) -> reading.Filter:
    return reading.Filter(actor, action, resource_kind, resource_id, request_id)


Wanted = Annotated[reading.Filter, Depends(_filter)]


@routes.get("/audit", policy=Role.OPERATOR, summary="List the audit log")
async def list_audit(
    services: ServicesDep,
    wanted: Wanted,
    limit: Limit = 50,
    cursor: Cursor = None,
    since: Since = None,
    until: Until = None,
) -> Page[AuditRecord]:
    """The newest first; every filter is compared as it is."""
    which = reading.between(wanted, microseconds(since, 0), microseconds(until, 2**62))
    after = read_cursor(cursor, _SORT, int)
    rows = await reading.rows(services.database, which, before=None if after is None else after[0], limit=limit + 1)
    part = cut(rows, limit, _SORT, lambda row: (row["seq"],))
    items = [AuditRecord.model_validate(_shown(row)) for row in part.items]
    return Page(items=items, next_cursor=part.next_cursor, total=await reading.count(services.database, which))


@routes.get(
    "/audit/export",
    policy=Role.ADMIN,
    summary="Export the audit log",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def export_audit(
    services: ServicesDep, wanted: Wanted, since: Since = None, until: Until = None
) -> StreamingResponse:
    """Every entry, the oldest first, one JSON object per line, with its hash: what is exported can be verified."""
    which = reading.between(wanted, microseconds(since, 0), microseconds(until, 2**62))
    entries = reading.everything(services.database, which)
    name = {"content-disposition": 'attachment; filename="audit.ndjson"'}
    first = [await anext(entries, None)]  # before the answer begins: a database that is away is a refusal
    return StreamingResponse(_lines(first, entries), media_type="application/x-ndjson", headers=name)


async def _lines(first: list[Any], entries: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    lines = [orjson.dumps(_shown(entry)) for entry in first if entry is not None]
    async for entry in entries:
        lines.append(orjson.dumps(_shown(entry)))
        if len(lines) >= _PIECE:
            yield b"\n".join(lines) + b"\n"
            lines = []
    if lines:
        yield b"\n".join(lines) + b"\n"


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "time": stamp(entry["at"])}
