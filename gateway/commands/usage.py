"""`gateway usage`: what was used and what it cost, from the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import Option, flag, with_options
from gateway.commands.words import moment, stamp, usd
from gateway.errors import OperatorError
from gateway.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gateway.storage.sql.database import Database
    from gateway.usage.reports import Selection

app = typer.Typer(help="What was used and what it cost, from the ledger.", invoke_without_command=True)

FILTERS = ("key", "team", "user", "model", "provider", "deployment", "route", "service")
_MOST_LINES = 1_000_000_000
_TEXT = str | None
_OPTIONS = {
    "by": Option(
        str,
        "key",
        f"Group by {', '.join(FILTERS)}, served_model, day or hour; several with commas.",
        (),
        show_default=True,
    ),
    "since": Option(_TEXT, None, "From this time: 2026-11-01, 2026-11-01T08:00+01:00, 24h (UTC without an offset)."),
    "until": Option(_TEXT, None, "Up to this time, not including it."),
    **{name: Option(_TEXT, None, f"Only this {name}.") for name in FILTERS},
    "rows": flag("Single attempts, the newest first, instead of sums.", "--rows"),
    "limit": Option(int | None, None, "At most so many lines."),
    "as_json": flag("JSON for programs; with --rows one attempt per line.", "--json"),
    "as_csv": flag("CSV for spreadsheets.", "--csv"),
}


@app.callback()
@with_options(_OPTIONS, context=True)
def report(context: typer.Context, **options: Any) -> None:
    """Sums of requests, tokens and cost by key, team, model, … (`--by`), or single attempts (`--rows`)."""
    if context.invoked_subcommand is not None:
        return
    from gateway.commands import usage_output  # noqa: PLC0415 - only this command pays for SQL and tables

    selection = _selection(options)
    form = usage_output.form(as_json=options["as_json"], as_csv=options["as_csv"])
    if options["limit"] is not None and not 1 <= options["limit"] <= _MOST_LINES:
        raise OperatorError(f"--limit: use 1 to {_MOST_LINES}")
    if options["rows"]:
        _with_database(lambda database: form.rows(database, selection, options["limit"]))
    else:
        group_by = _group_by(options["by"])
        _with_database(lambda database: form.report(database, group_by, selection, options["limit"]))


def _group_by(text: str) -> tuple[str, ...]:
    from gateway.usage.reports import DIMENSIONS, TIMES  # noqa: PLC0415

    words = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    unknown = [word for word in words if word not in DIMENSIONS and word not in TIMES]
    if unknown:
        raise OperatorError(f"--by: {unknown[0]!r} is unknown (use {', '.join([*DIMENSIONS, *TIMES])})")
    return words


def _selection(options: dict[str, Any]) -> Selection:
    from gateway.usage.reports import Selection  # noqa: PLC0415
    from gateway.usage.rollup import END  # noqa: PLC0415

    since, until = _span(options["since"], options["until"])
    return Selection(
        since=since,
        until=END if until is None else until,
        where={name: options[name] for name in FILTERS if options[name] is not None},
    )


def _span(since: str | None, until: str | None) -> tuple[int, int | None]:
    """The first moment and the end of a selection. Raises OperatorError for one that nothing can be in."""
    start = 0 if since is None else max(0, moment(since, "--since"))
    end = None if until is None else moment(until, "--until")
    if end is not None and end <= start:
        raise OperatorError(f"--until: {until!r} is not after --since (swap them, or leave one out)")
    return start, end


@app.command()
def reprice(
    since: Annotated[str, typer.Option(help="From this time: 2026-11-01, 24h, …")],
    until: Annotated[str | None, typer.Option(help="Up to this time, not including it.")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration file with prices: the server's.", readable=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs.")] = False,
) -> None:
    """Restate the cost of past calls at the prices known now; prices of the configuration come before the catalogue."""
    from gateway.commands import usage_output  # noqa: PLC0415
    from gateway.usage.reprice import reprice as run  # noqa: PLC0415

    settings = load_settings()
    start, until_us = _span(since, until)
    end = 2**61 if until_us is None else until_us
    price_of = usage_output.prices(settings, config)

    async def work(database: Database) -> None:
        result = await run(database, price_of, start, end)
        if as_json:
            typer.echo(usage_output.repriced_json(result))
            return
        typer.echo(
            f"{result.changed} of {result.seen} attempts since {stamp(start)} have another cost or price version; "
            f"charges changed by {usd(result.difference)} USD, the gateway's own cost by "
            f"{usd(result.released_difference)} USD; {result.newly_priced} had no price before, "
            f"{result.unpriced} have none yet."
        )

    _with_database(work)


def _with_database(work: Callable[[Database], Coroutine[Any, Any, None]]) -> None:
    """Run against the configured database. Raises OperatorError when it is away or has not been migrated."""
    from gateway.storage.sql.database import Database  # noqa: PLC0415
    from gateway.storage.sql.errors import DatabaseUnavailable  # noqa: PLC0415
    from gateway.storage.sql.migrate import ready  # noqa: PLC0415
    from gateway.storage.sql.urls import database_url  # noqa: PLC0415

    settings = load_settings()
    url = database_url(settings)
    ready(url)

    async def run() -> None:
        database = Database(url, echo=settings.sql_echo)
        try:
            await work(database)
        finally:
            await database.close()

    try:
        asyncio.run(run())
    except DatabaseUnavailable as error:
        raise OperatorError(
            f"The database did not answer ({error}). Try again, or ask for less with --since and --until."
        ) from None
