"""`gateway audit`: the log of who changed what, verified, listed, exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.databases import with_database
from gateway.commands.options import Option, flag, with_options
from gateway.errors import OperatorError
from gateway.settings import Settings, load_settings

if TYPE_CHECKING:
    from gateway.audit.reading import Filter
    from gateway.audit.verify import Verdict

TAMPERED, UNPROVEN = 1, 2
"""Exit codes of `verify`; 0 says that the log is as it was written."""

app = typer.Typer(no_args_is_help=True, help="The audit log: who changed what, when, from where.")
_TEXT = str | None
_FILTERS = {
    "actor": Option(_TEXT, None, "Only what this caller did."),
    "action": Option(_TEXT, None, "Only this: create, update, delete, …"),
    "kind": Option(_TEXT, None, "Only this kind of resource: providers, credentials, admin_user, …"),
    "resource": Option(_TEXT, None, "Only this resource, by its id."),
    "since": Option(_TEXT, None, "From then on: 2026-11-01, 2026-11-01T08:00+01:00, or how long ago: 24h."),
    "until": Option(_TEXT, None, "Before then."),
    "json": flag("JSON for programs, one entry per line.", "--json"),
}
_LIST = {**_FILTERS, "limit": Option(int, 50, "How many of the newest.", show_default=True)}


@app.command()
def verify(
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="An end of the log that was noted elsewhere, SEQ:HASH. May be repeated.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs.")] = False,
) -> None:
    """Look at every entry: exit code 0 when the log is as it was written, 1 when it was tampered with, 2 when that
    cannot be told."""
    from gateway.audit.anchor import read_anchor  # noqa: PLC0415 - only this command pays for it

    settings = load_settings()
    try:
        anchors = [_anchor(text) for text in anchor or ()]
        kept = read_anchor(settings.data_dir)
        verdict = _verdict(settings, (*anchors, *(() if kept is None else (kept,))))
    except OperatorError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(UNPROVEN) from None
    typer.echo(_dumped(_facts(verdict)) if as_json else "\n".join(_lines(verdict)))
    raise typer.Exit(TAMPERED if verdict.faults else UNPROVEN if verdict.unproven else 0)


@app.command(name="list")
@with_options(_LIST)
def list_(**options: Any) -> None:
    """Show the newest entries."""
    from gateway.audit.reading import page  # noqa: PLC0415

    wanted = _wanted(options)
    found = with_database(load_settings(), lambda database: page(database, wanted, limit=options["limit"]))
    if options["json"]:
        for entry in found.entries:
            typer.echo(_dumped(_shown(entry)))
        return
    for entry in found.entries:
        typer.echo(_line(entry))
    if not found.entries:
        typer.echo("No entries.")


@app.command()
@with_options({name: option for name, option in _FILTERS.items() if name != "json"})
def export(**options: Any) -> None:
    """Print entries, the oldest first, as one JSON object per line, with their hashes."""
    from gateway.audit.reading import everything  # noqa: PLC0415

    wanted = _wanted(options)

    async def print_all(database: Any) -> None:
        async for entry in everything(database, wanted):
            typer.echo(_dumped(_shown(entry)))

    with_database(load_settings(), print_all)


def _verdict(settings: Settings, anchors: tuple[Any, ...]) -> Verdict:
    from gateway.audit.verify import verify as look  # noqa: PLC0415
    from gateway.vault.custody import read_custody  # noqa: PLC0415

    async def act(database: Any) -> Verdict:
        key = (await read_custody(database, settings)).audit_key
        return await look(database, None if key is None else key.key, None if key is None else key.since, anchors)

    return with_database(settings, act)


def _anchor(text: str) -> Any:
    from gateway.audit.entries import Head  # noqa: PLC0415

    seq, colon, digest = text.partition(":")
    if not colon or not seq.isascii() or not seq.isdigit() or len(digest) != 64:
        raise OperatorError(
            "--anchor: write the number and the hash of an entry, as the gateway's log has them: 17:3f…"
        )
    return Head(int(seq), digest.lower())


def _facts(verdict: Verdict) -> dict[str, Any]:
    return {
        "intact": verdict.intact,
        "entries": verdict.entries,
        "head": None if verdict.head is None else {"seq": verdict.head.seq, "hash": verdict.head.hash},
        "keyed_from": verdict.keyed_from,
        "unproven": verdict.unproven,
        "faults": [{"seq": fault.seq, "kind": fault.kind, "message": fault.told} for fault in verdict.faults],
        "more_faults": verdict.more_faults,
    }


def _lines(verdict: Verdict) -> list[str]:
    lines = [fault.told for fault in verdict.faults]
    if verdict.more_faults:
        lines.append(f"and {verdict.more_faults} more")
    if verdict.faults:
        return [*lines, "The audit log was tampered with, or its tables were damaged."]
    if verdict.unproven:
        told = f"{verdict.unproven} hashes are made with a key that is not here, so nothing is proven"
        return [f"{told} (set the ENCRYPTION_KEY of the gateway)."]
    if verdict.head is None or not verdict.entries:
        return ["The audit log is intact: it has no entries."]
    plain = verdict.entries if verdict.keyed_from is None else verdict.keyed_from - 1
    note = f" Entries 1 to {plain} were written without a key." if plain else ""
    count = "1 entry" if verdict.entries == 1 else f"{verdict.entries} entries"
    return [f"The audit log is intact: {count}, the last {verdict.head.seq}:{verdict.head.hash}.{note}"]


def _wanted(options: dict[str, Any]) -> Filter:
    from gateway.audit.reading import Filter  # noqa: PLC0415
    from gateway.commands.words import moment  # noqa: PLC0415

    times = {name: None if options[name] is None else moment(options[name], f"--{name}") for name in ("since", "until")}
    return Filter(
        actor=options["actor"],
        action=options["action"],
        resource_kind=options["kind"],
        resource_id=options["resource"],
        since=times["since"],
        until=times["until"],
    )


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    from gateway.commands.words import stamp  # noqa: PLC0415

    return {**entry, "time": stamp(entry["at"])}


def _line(entry: dict[str, Any]) -> str:
    shown = _shown(entry)
    who = f"{shown['actor']} ({shown['role'] or shown['actor_kind']})"
    what = f"{shown['action']} {shown['resource_kind']} {shown['resource_id']}"
    where = f" from {shown['address']}" if shown["address"] else ""
    return f"{shown['seq']:>6}  {shown['time'][:19]}Z  {who}  {what}{where}"


def _dumped(value: Any) -> str:
    import orjson  # noqa: PLC0415

    return orjson.dumps(value).decode()
