"""`gateway keys`: create, list, rotate and revoke virtual keys, while the gateway runs or not."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.commands.databases import operator, with_audit, with_database
from gateway.commands.options import REQUIRED, Option, flag, with_options
from gateway.errors import OperatorError
from gateway.settings import Settings, load_settings

if TYPE_CHECKING:
    from gateway.auth.admins import Record
    from gateway.auth.drafts import Draft
    from gateway.auth.issue import Issued, Issuer, Witness
    from gateway.auth.records import Change
    from gateway.registry.loader import Loaded
    from gateway.storage.sql.database import Database

_T = TypeVar("_T")

app = typer.Typer(no_args_is_help=True, help="Create, list, rotate and revoke virtual keys.")

Name = Annotated[str, typer.Argument(help="The key's name.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="JSON for programs.")]


_TEXT = str | None
_MANY = list[str] | None
_CREATE = {
    "name": Option(str, REQUIRED, "How it appears in logs and reports."),
    "team": Option(_TEXT, None, "The team it belongs to."),
    "models": Option(_TEXT, None, "Globs of models it may use, by commas; all by default."),
    "services": Option(_TEXT, None, "Kinds of requests it may make, by commas; all by default."),
    "expires": Option(_TEXT, None, "When it ends: in 12h or 30d, or at 2027-01-31."),
    "requests": Option(_TEXT, None, "Limit of requests: 60/min."),
    "tokens": Option(_TEXT, None, "Limit of tokens: 100k/min."),
    "concurrency": Option(int | None, None, "Requests in flight at once."),
    "budget": Option(_MANY, None, "USD per period: 100/month. May be repeated."),
    "quota": Option(
        _MANY,
        None,
        "An amount per period, such as tokens=5M/day,soft=0.8 (docs/keys.md has all its words). May be repeated.",
    ),
    "groups": Option(_TEXT, None, "User groups that routes may ask for, by commas."),
    "metadata": Option(_MANY, None, "A note, as name=value. May be repeated."),
    "config": Option(
        Path | None, None, "The server's configuration file: names of its keys are taken.", ("--config", "-c")
    ),
    "json": flag("JSON for programs.", "--json"),
}


@app.command()
@with_options(_CREATE)
def create(**options: Any) -> None:
    """Create a key and print its secret, once."""
    from gateway.auth.drafts import Draft  # noqa: PLC0415 - other commands need none of this
    from gateway.commands import key_words as words  # noqa: PLC0415

    limits = {kind: options[kind] for kind in ("requests", "tokens", "concurrency")}
    name, team = options["name"], options["team"]
    draft = Draft(
        name=name,
        team=team,
        models=words.listed(options["models"]),
        services=words.listed(options["services"]),
        limits={kind: limit for kind, limit in limits.items() if limit is not None},
        quotas=[*map(words.budget, options["budget"] or []), *map(words.quota, options["quota"] or [])],
        metadata=words.metadata(options["metadata"] or [], options["groups"]),
        expires_at=words.moment(options["expires"], time.time()),
    )
    settings = load_settings()
    note = _check_with_file(settings, settings.config_path(options["config"]), draft)
    issued, told = _change(settings, "create", lambda issuer, witness: issuer.create(draft, operator(), witness))
    if note:
        typer.echo(note, err=True)
    _show_secret(issued, told=told, json=options["json"], verb="created")


@app.command()
def rotate(
    name: Name,
    grace: Annotated[str, typer.Option(help="How long the present secret opens too: 0, 10m, 24h.")] = "24h",
    json: Json = False,
) -> None:
    """Give a key a new secret and print it, once. Open streams go on."""
    from gateway.commands import key_words as words  # noqa: PLC0415

    seconds = words.grace(grace)
    issued, told = _change(load_settings(), "rotate", lambda issuer, witness: issuer.rotate(name, seconds, witness))
    _show_secret(issued, told=told, json=json, verb="rotated")


@app.command()
def revoke(name: Name, json: Json = False) -> None:
    """End a key for good, its open streams too."""
    from gateway.commands import key_words as words  # noqa: PLC0415

    issued, told = _change(load_settings(), "revoke", lambda issuer, witness: issuer.revoke(name, witness=witness))
    if json:
        typer.echo(words.dumped(words.public(issued.info) | {"told": told}))
    else:
        typer.echo(f"Key {name} is revoked.{'' if told else _LATER}")


@app.command(name="list")
def list_(json: Json = False) -> None:
    """Show every key, without secrets."""
    from gateway.commands import key_words as words  # noqa: PLC0415

    found = with_issuer(load_settings(), lambda issuer: issuer.list_all())
    if json:
        typer.echo(words.dumped({"keys": [words.public(info) for info in found]}))
    elif found:
        typer.echo(words.table(found))
    else:
        typer.echo("There are no keys here yet: `gateway keys create --name …` makes one.")


_LATER = " No gateway was told now; one that runs takes it up within 5 seconds."


def _show_secret(issued: Issued, *, told: bool, json: bool, verb: str) -> None:
    """The secret alone on standard output, what people should know beside it."""
    from gateway.commands import key_words as words  # noqa: PLC0415

    info = issued.info
    if json:
        typer.echo(words.dumped(words.public(info) | {"secret": issued.secret, "told": told}))
        return
    until = f" The one before it works until {words.iso(info.grace_until)}." if info.grace_until else ""
    typer.echo(f"Key {info.name} is {verb}.{'' if told else _LATER} Its secret, which is not shown again:", err=True)
    typer.echo(issued.secret)
    if until:
        typer.echo(until.strip(), err=True)


def _check_with_file(settings: Settings, path: Path | None, draft: Draft) -> str:
    """What the operator should know of the key's team; raises OperatorError for a name that the file has, and for a
    quota that switches to a model that nothing serves.

    A key of the file wins over one of the same name in the database, which then would never work.
    """
    from gateway.registry.loader import load  # noqa: PLC0415
    from gateway.registry.plugins import dialects_for  # noqa: PLC0415

    try:
        loaded = load(path, os.environ, dialects=dialects_for(path))
    except OperatorError:
        return ""  # a bad file is not this command's concern
    name, team = draft.name, draft.team
    if name in loaded.snapshot.virtual_keys:
        raise OperatorError(f"{path} has a key {name} already, and the file wins. Use another name.")
    if path is None:
        return ""
    _refuse_unknown_models(settings, loaded, draft)
    if team is None or team in loaded.snapshot.teams:
        return ""
    return f"Note: {path} has no team {team}, so no limits of a team bind this key until one is declared there."


def _refuse_unknown_models(settings: Settings, loaded: Loaded, draft: Draft) -> None:
    """Of what a quota switches to. Where the database has resources too, the file does not know them all."""
    from gateway.registry.check_limits import unknown_downgrades  # noqa: PLC0415
    from gateway.registry.interpolation import interpolate  # noqa: PLC0415
    from gateway.registry.resources import rows  # noqa: PLC0415

    unknown = unknown_downgrades(interpolate(loaded.document, os.environ).data, draft.quotas)

    async def revision(database: Database) -> int:
        async with database.connect() as connection:
            return await rows.revision(connection)

    if unknown and not with_database(settings, revision):
        raise OperatorError("\n".join(f"--quota: {line}" for line in unknown))


def _change(
    settings: Settings, action: str, act: Callable[[Issuer, Witness], Awaitable[Issued]]
) -> tuple[Issued, bool]:
    """Do it in the database, on the record, then tell the gateway that runs, if one can be reached; whether one was."""
    from gateway.auth.issue import Issuer  # noqa: PLC0415
    from gateway.auth.witnessing import witness_of  # noqa: PLC0415

    async def run(database: Database, record: Record) -> tuple[Issued, bool]:
        issued = await act(Issuer(database), witness_of(record, action))
        return issued, await _tell(settings, issued.change)

    return with_audit(settings, run)


def with_issuer(settings: Settings, act: Callable[[Issuer], Awaitable[_T]]) -> _T:
    """Run with the database open, its tables made. Raises OperatorError."""
    from gateway.auth.issue import Issuer  # noqa: PLC0415

    return with_database(settings, lambda database: act(Issuer(database)))


async def _tell(settings: Settings, change: Change) -> bool:
    """Whether the workers' store took the change; if not, the bookkeeper brings it in."""
    from gateway.auth.keyring import Keyring  # noqa: PLC0415
    from gateway.storage.embedded import running_url  # noqa: PLC0415
    from gateway.storage.errors import StoreUnavailable  # noqa: PLC0415
    from gateway.storage.redis import RedisOptions, connect  # noqa: PLC0415

    given = settings.redis_url
    url = running_url(settings.data_dir) if given is None else given.get_secret_value()
    if url is None:
        return False
    client = connect(url, RedisOptions(timeout=2.0, client_name="gateway-keys"))
    try:
        return await Keyring(client).apply(change)
    except StoreUnavailable:
        return False
    finally:
        await client.close()
