"""The `gateway` command."""

from __future__ import annotations

import errno
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from gateway import __version__
from gateway.commands import admin, audit, explain, health, keys, migrate, providers, rotation, usage
from gateway.errors import OperatorError
from gateway.settings import Settings, load_settings

app = typer.Typer(
    name="gateway", no_args_is_help=True, add_completion=False, help="An LLM gateway that speaks OpenAI's API."
)
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Configuration file, YAML or TOML.",
        readable=False,
        show_default="GATEWAY_CONFIG, else config/gateway.yaml, else a built-in one",
    ),
]


@app.command()
def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535, show_default="8080")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.", min=1, max=256, show_default="1")] = None,
) -> None:
    """Run the gateway; its state is embedded, in GATEWAY_DATA_DIR, unless REDIS_URL and DATABASE_URL say otherwise."""
    from gateway.serve import serve as run  # noqa: PLC0415 - only this command pays for the server's imports

    given = {name: value for name, value in (("host", host), ("port", port), ("workers", workers)) if value is not None}
    settings = load_settings()
    if given:
        settings = Settings.model_validate({**settings.model_dump(), **given})
    _check_state(settings)
    raise typer.Exit(run(settings, settings.config_path(config)))


def _check_state(settings: Settings) -> None:
    """Raise OperatorError for what every process would stumble over, before there are any."""
    from gateway.storage.address import read_address  # noqa: PLC0415
    from gateway.storage.redis import RedisOptions  # noqa: PLC0415

    if settings.redis_url is not None:
        read_address(settings.redis_url.get_secret_value(), RedisOptions())
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"The data directory {settings.data_dir} cannot be made ({error.strerror}). "
            "Name one that can be written to with GATEWAY_DATA_DIR."
        ) from None


@app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The file to check; by default the one that `gateway serve` would take.",
            show_default=False,
            readable=False,
        ),
    ] = None,
) -> None:
    """Validate a configuration; every error with its place, exit code 1."""
    from gateway.registry.loader import load  # noqa: PLC0415
    from gateway.registry.plugins import dialects_for  # noqa: PLC0415

    path = load_settings().config_path(file)
    loaded = load(path, os.environ, dialects=dialects_for(path))
    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    snapshot = loaded.snapshot
    parts = {
        "provider": snapshot.providers,
        "model": snapshot.deployments,
        "route": snapshot.routes,
        "key": snapshot.virtual_keys,
    }
    counts = ", ".join(f"{len(found)} {name}{'' if len(found) == 1 else 's'}" for name, found in parts.items())
    typer.echo(f"{path or 'built-in default'}: ok, revision {snapshot.revision}: {counts}")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="A LiteLLM config.yaml, or a provider.config.toml.", readable=False)],
) -> None:
    """Print another gateway's configuration as one of ours, with a comment for what could not be carried over."""
    from gateway.importing import import_file  # noqa: PLC0415
    from gateway.providers import discover  # noqa: PLC0415

    typer.echo(import_file(file, discover()), nl=False)


@app.command()
def schema(
    api: Annotated[bool, typer.Option("--api", help="The OpenAPI document of the admin API instead.")] = False,
) -> None:
    """Print the JSON Schema of the configuration, for editors."""
    import orjson  # noqa: PLC0415

    if api:
        from gateway.http.admin.app import openapi as document  # noqa: PLC0415
    else:
        from gateway.registry.schema.jsonschema import schema_json as document  # noqa: PLC0415
    typer.echo(orjson.dumps(document(), option=orjson.OPT_INDENT_2).decode())


@app.command()
def mock(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 9000,
) -> None:
    """Run a scripted provider with faults on demand and a bill of its own."""
    from gateway.http.mock_server import run_mock  # noqa: PLC0415

    run_mock(host, port)


app.command()(explain.explain)
app.command()(migrate.migrate)
app.command()(health.health)
app.command()(rotation.rotate_encryption_key)
app.add_typer(keys.app, name="keys")
app.add_typer(admin.app, name="admin")
app.add_typer(audit.app, name="audit")
app.add_typer(usage.app, name="usage")
app.add_typer(providers.app, name="providers")


def _print_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def _gateway(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """What every command takes."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _check_arguments(words: list[str]) -> None:
    """Raise OperatorError for what is no text where databases and reports would have to take it; a path may be."""
    for word in words if words[:1] in (["keys"], ["usage"], ["audit"], ["admin"]) else ():
        try:
            word.encode()
        except UnicodeEncodeError:
            raise OperatorError(f"{word!a} is not UTF-8 text (write it again)") from None


def main() -> int:
    """Run the command line; what an operator must change is printed without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter is no error
    try:
        _check_arguments(sys.argv[1:])
        code = app(standalone_mode=False)
    except OperatorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except typer.Abort:
        return 130
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.stderr.write(f"What was to be written could not be: {error.strerror} (make room, then try again)\n")
        return 1
    except Exception as error:  # click's own: shown as usage errors, with their exit code; anything else goes on
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return int(error.exit_code)
        raise
    return code if isinstance(code, int) else 0
