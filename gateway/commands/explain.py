"""`gateway explain`: where a request would go, why everyone else is left out, and what would refuse it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import Option, flag, with_options
from gateway.errors import OperatorError
from gateway.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.explaining import Explanation
    from gateway.explaining.local import LocalExplainer
    from gateway.registry.snapshot import Snapshot
    from gateway.types import Call, Principal

_TEXT = str | None
_SIZE = int | None
OPTIONS = {
    "service": Option(str, "chat", "The kind of request: chat, embeddings, responses, …", (), show_default=True),
    "key": Option(_TEXT, None, "As the holder of this key, by its name; else as a caller that nothing is known of."),
    "user": Option(_TEXT, None, "The end user that the request names."),
    "provider": Option(_TEXT, None, "Pinned to this provider, as by /providers/NAME/v1."),
    "stream": flag("It asks for a stream.", "--stream"),
    "tools": flag("It has tools.", "--tools"),
    "vision": flag("It has pictures.", "--vision"),
    "audio": flag("It has sound.", "--audio"),
    "json_schema": flag("It asks for an answer by a JSON schema.", "--json-schema"),
    "tokens": Option(_SIZE, None, "Tokens of its input."),
    "max_tokens": Option(_SIZE, None, "Output tokens that it allows."),
    "header": Option(list[str] | None, None, "A header, as name=value. May be repeated."),
    "body": Option(Path | None, None, "Take all of this from a request's JSON body instead, in this file."),
    "config": Option(
        Path | None, None, "The configuration; by default the one that `gateway serve` takes.", ("--config", "-c")
    ),
    "json": flag("JSON for programs.", "--json"),
}
_Model = Annotated[str | None, typer.Argument(help="The model that is asked for.", show_default=False)]


@with_options(OPTIONS, arguments={"model": _Model})
def explain(**options: Any) -> None:
    """Say where a request would go now, and why not elsewhere. Nothing is sent, counted or changed."""
    from gateway.commands.explain_output import as_json, as_text  # noqa: PLC0415 - other commands need none of this
    from gateway.commands.explain_request import call_of  # noqa: PLC0415
    from gateway.explaining.local import LocalExplainer  # noqa: PLC0415
    from gateway.registry.loader import load  # noqa: PLC0415
    from gateway.registry.plugins import dialects_for  # noqa: PLC0415

    settings = load_settings()
    path = settings.config_path(options["config"])
    dialects = dialects_for(path)
    snapshot = load(path, os.environ, dialects=dialects).snapshot
    call = call_of(options)
    principal = _caller(settings, snapshot, options["key"])
    found = asyncio.run(_explained(lambda: LocalExplainer(settings, snapshot, dialects), call, principal))
    typer.echo(as_json(found, call, snapshot) if options["json"] else as_text(found, call, snapshot))


def _caller(settings: Settings, snapshot: Snapshot, name: str | None) -> Principal:
    """Who holds this key, of the file or made at run time. Raises OperatorError."""
    from gateway.auth.keys import ANONYMOUS  # noqa: PLC0415

    if name is None:
        return ANONYMOUS
    key = snapshot.virtual_keys.get(name)
    if key is None:
        return _run_time_key(settings, snapshot, name)
    if not key.active:
        raise OperatorError(f"The key {name} is inactive: a variable that it needs is not set.")
    return key.principal


def _run_time_key(settings: Settings, snapshot: Snapshot, name: str) -> Principal:
    from gateway.auth.boot import any_keys  # noqa: PLC0415
    from gateway.auth.issue import record_of  # noqa: PLC0415
    from gateway.auth.records import principal_of  # noqa: PLC0415
    from gateway.commands.keys import with_issuer  # noqa: PLC0415
    from gateway.registry.problems import did_you_mean, shown  # noqa: PLC0415

    url = settings.database_url
    # Asked first: a database that is not there yet is not made for a question.
    known = any_keys(None if url is None else url.get_secret_value(), settings.data_dir)
    keys = {info.name: info for info in with_issuer(settings, lambda issuer: issuer.list_all())} if known else {}
    info = keys.get(name)
    if info is None:
        hint = did_you_mean(name, [*keys, *snapshot.virtual_keys])
        raise OperatorError(f"There is no key {shown(name)}{hint} (`gateway keys list` shows those made at run time).")
    if info.state != "active":
        raise OperatorError(f"The key {shown(name)} is {info.state}: its calls are refused with 401.")
    return principal_of(record_of(info), b"", snapshot.zone)


async def _explained(made: Callable[[], LocalExplainer], call: Call, principal: Principal) -> Explanation:
    """Everything as a worker has it, but for what only workers know: how fast and how busy deployments are."""
    explainer = made()
    try:
        return await explainer.explain(call, principal)
    finally:
        await explainer.close()
