"""`gateway health`: how each deployment is doing, what the last probes said, which incidents there are."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.configured import configured
from gateway.errors import OperatorError
from gateway.settings import load_settings

if TYPE_CHECKING:
    from gateway.health.reports import Check, IncidentRow, State
    from gateway.registry.snapshot import Snapshot
    from gateway.storage.sql.database import Database

SHOWN = 50
Found = tuple[list["State"], list["Check"], list["IncidentRow"]]


def health(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The server's configuration file.", show_default=False, readable=False),
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Only this provider.")] = None,
    incidents: Annotated[bool, typer.Option("--incidents", help="Incidents that are over, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs.")] = False,
) -> None:
    """Show each deployment's state and last probe, and the open incidents."""
    snapshot = configured(load_settings(), config)
    if provider is not None and provider not in snapshot.providers:
        raise OperatorError(f"--provider: no provider is called {provider!r} (see `gateway check`)")
    told, checks, found = _read(provider, over_too=incidents)
    lines = _deployments(snapshot, provider, told, checks)
    if as_json:
        typer.echo(_json(lines, found))
    else:
        _print(lines, found, over_too=incidents)


def _read(provider: str | None, *, over_too: bool) -> Found:
    """Raises OperatorError when the database is away or has not been migrated."""
    from gateway.health import reports  # noqa: PLC0415 - imports SQLAlchemy
    from gateway.storage.sql.database import Database  # noqa: PLC0415
    from gateway.storage.sql.errors import DatabaseUnavailable  # noqa: PLC0415
    from gateway.storage.sql.migrate import ready  # noqa: PLC0415
    from gateway.storage.sql.urls import database_url  # noqa: PLC0415

    settings = load_settings()
    url = database_url(settings)
    ready(url)

    async def read(database: Database) -> Found:
        try:
            found = await reports.incident_list(database, provider=provider, only_open=not over_too, limit=SHOWN)
            return await reports.states(database), await reports.last_checks(database), found
        finally:
            await database.close()

    try:
        return asyncio.run(read(Database(url, echo=settings.sql_echo)))
    except DatabaseUnavailable as error:
        raise OperatorError(f"The database cannot be used ({error}). Check DATABASE_URL, then try again.") from error


def _deployments(snapshot: Snapshot, only: str | None, told: list[State], checks: list[Check]) -> list[dict[str, Any]]:
    """One line for each deployment that is configured, or that workers spoke of: its state, and the last probe that
    says something about it."""
    from gateway.commands.words import stamp  # noqa: PLC0415

    states = {state.deployment: state for state in told}
    probed = {check.deployment or check.provider: check for check in checks}
    lines = []
    for name in dict.fromkeys([*snapshot.deployments, *states]):
        provider = name.partition("/")[0]
        if only not in (None, provider):
            continue
        state, check = states.get(name), probed.get(name) or probed.get(provider)
        lines.append(
            {
                "deployment": name,
                "provider": provider,
                "state": "healthy" if state is None else state.state,
                "cause": None if state is None else state.cause or None,
                "since": None if state is None else stamp(state.since),
                "last_probe": None
                if check is None
                else {
                    "at": stamp(check.at),
                    "outcome": check.outcome,
                    "seconds": round(check.seconds, 6),
                    "called": check.deployment is not None,
                },
            }
        )
    return lines


def _json(lines: list[dict[str, Any]], found: list[IncidentRow]) -> str:
    import orjson  # noqa: PLC0415

    shown = {"deployments": lines, "incidents": [_incident(incident) for incident in found]}
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()


def _incident(incident: IncidentRow) -> dict[str, Any]:
    from gateway.commands.words import stamp  # noqa: PLC0415

    return {
        "id": incident.id,
        "provider": incident.provider,
        "cause": incident.cause,
        "state": "open" if incident.closed_at is None else "closed",
        "first_failure": stamp(incident.first_failure),
        "last_failure": stamp(incident.last_failure),
        "closed_at": None if incident.closed_at is None else stamp(incident.closed_at),
        "failures": incident.failures,
        "deployments": incident.deployments,
        "routes": incident.routes,
    }


def _print(lines: list[dict[str, Any]], found: list[IncidentRow], *, over_too: bool) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(soft_wrap=True, highlight=False, width=None if os.isatty(1) else 200)
    table = Table("deployment", "state", "cause", "since", "last probe", "outcome", "ms", box=None, pad_edge=False)
    for line in lines:
        probe = line["last_probe"]
        seen = ["-", "-", "-"]
        if probe is not None:
            seen = [_short(probe["at"]), probe["outcome"], f"{probe['seconds'] * 1000:.0f}"]
        since = "-" if line["since"] is None else _short(line["since"])
        table.add_row(line["deployment"], line["state"], line["cause"] or "-", since, *seen)
    console.print(table)
    console.print()
    if not found:
        console.print("No incidents." if over_too else "No open incidents.")
    for incident in found:
        console.print(_sentence(_incident(incident)))


def _sentence(incident: dict[str, Any]) -> str:
    ended = f", over {_short(incident['closed_at'])}" if incident["closed_at"] else ""
    text = (
        f"{incident['id']}  {incident['state']}  {incident['provider']}: {incident['cause']}, "
        f"{incident['failures']} failures from {_short(incident['first_failure'])} "
        f"to {_short(incident['last_failure'])}{ended}"
    )
    if incident["routes"]:
        text += f"; routes {', '.join(incident['routes'])}"
    return f"{text}; deployments {', '.join(incident['deployments']) or '-'}"


def _short(moment: str) -> str:
    """To the second."""
    return moment[:19] + "Z"
