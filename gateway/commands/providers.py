"""`gateway providers`: which provider types there are, what each needs, and whether an implementation is sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.errors import OperatorError
from gateway.settings import load_settings

if TYPE_CHECKING:
    from gateway.ports import Dialect
    from gateway.providers import Dialects
    from gateway.registry.catalogue import ProviderType

app = typer.Typer(no_args_is_help=True, help="List, describe and test the provider types.")
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="The configuration whose plugins count, too.", show_default=False, readable=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]


@app.command(name="list")
def list_types(config: Config = None, as_json: AsJson = False) -> None:
    """Every provider type: where it is from, how it is spoken to, what it serves."""
    dialects = _dialects(config)
    rows = [_facts(name, dialects) for name in sorted(dialects)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    width = max(len(row["type"]) for row in rows)
    for row in rows:
        typer.echo(f"{row['type']:<{width}}  {row['speaks']:<11}  {row['from']:<10}  {', '.join(row['services'])}")


@app.command()
def describe(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="A provider type.")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """One provider type: its address, its settings, and a provider of it as it stands in a configuration."""
    dialects = _dialects(config)
    entry = _entry(kind, dialects)
    facts = {**_facts(entry.name, dialects), **_settings(entry)}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    typer.echo(f"{entry.name} ({facts['from']}, {facts['speaks']})")
    typer.echo(f"  serves     {', '.join(facts['services'])}")
    typer.echo(f"  base_url   {facts['base_url'] or 'has to be given'}")
    for setting in facts["settings"]:
        marks = ", ".join(word for word in ("required", "secret") if setting[word])
        typer.echo(f"  {setting['name']:<18} {setting['description']}{f' ({marks})' if marks else ''}")
    typer.echo(f"\n{facts['example']}")


@app.command(name="test")
def try_out(
    named: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TYPE|FILE|MODULE]...", help="Types, or plugins as a configuration names them."),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Try implementations out without connecting to anything; exit code 1 when one is not sound."""
    from gateway.providers.discovery.trial import trial  # noqa: PLC0415 - only this command pays for it

    dialects = _dialects(config)
    results: dict[str, list[dict[str, Any]]] = {}
    for name in named or sorted(dialects):
        dialect, problem = _implementation(name, dialects)
        if dialect is None:
            results[name] = [{"step": "load", "ok": False, "problems": [problem]}]
            continue
        options, address = _made_up(dialect, dialects)
        steps = trial(dialect, options, address)
        results[name] = [
            {"step": step.name, "ok": not step.problems, "problems": list(dict.fromkeys(step.problems))}
            for step in steps
        ]
    if as_json:
        typer.echo(json.dumps(results, indent=2))
    else:
        _tell(results)
    if not all(step["ok"] for steps in results.values() for step in steps):
        raise typer.Exit(1)


def _tell(results: dict[str, list[dict[str, Any]]]) -> None:
    for name, steps in results.items():
        bad = [step for step in steps if not step["ok"]]
        typer.echo(f"{name}: {'ok' if not bad else 'NOT sound'} ({len(steps)} steps)")
        for step in bad:
            for problem in step["problems"]:
                typer.echo(f"  {step['step']}: {problem}")


def _dialects(config: Path | None) -> Dialects:
    from gateway.registry.plugins import dialects_for  # noqa: PLC0415

    return dialects_for(load_settings().config_path(config))


def _entry(kind: str, dialects: Dialects) -> ProviderType:
    from gateway.registry.catalogue import ALIASES, provider_type  # noqa: PLC0415
    from gateway.registry.problems import did_you_mean, shown  # noqa: PLC0415

    entry = provider_type(kind, dialects)
    if entry is None or entry.name not in dialects:
        hint = did_you_mean(kind, [*dialects, *ALIASES])
        raise OperatorError(f"There is no provider type {shown(kind)}{hint} (`gateway providers list` shows them).")
    return entry


def _implementation(named: str, dialects: Dialects) -> tuple[Dialect | None, str]:
    """A type that is known, or the plugin of that name; what is wrong with it when it cannot be loaded."""
    from gateway.providers.discovery import PluginFailed, load_plugin  # noqa: PLC0415
    from gateway.registry.catalogue import ALIASES  # noqa: PLC0415

    found = dialects.get(ALIASES.get(named, named))
    if found is not None:
        return found, ""
    try:
        return load_plugin(named, Path.cwd()), ""
    except PluginFailed as error:
        return None, str(error)


def _made_up(dialect: Dialect, dialects: Dialects) -> tuple[dict[str, Any], str | None]:
    """Settings that a provider of this type could have."""
    from gateway.registry.catalogue import provider_type  # noqa: PLC0415

    entry = provider_type(dialect.name, {**dialects, dialect.name: dialect})
    assert entry is not None
    settings = {own.name: "https://trial.invalid" if own.name.endswith("url") else "trial" for own in entry.own}
    address = entry.address(settings)
    maps: dict[str, Any] = {name: {} for name in settings if name == "deployments"}
    return {**settings, **maps}, address or None


def _facts(name: str, dialects: Dialects) -> dict[str, Any]:
    from gateway.providers.wire.openai import OpenAIDialect  # noqa: PLC0415

    dialect: Any = dialects[name]
    speaks = "translated" if not isinstance(dialect, OpenAIDialect) else "OpenAI's"
    return {
        "type": name,
        "from": dialects.origins.get(name, ""),
        "speaks": "in process" if callable(getattr(dialect, "answer", None)) else speaks,
        "services": sorted(service.value for service in dialect.services),
    }


def _settings(entry: ProviderType) -> dict[str, Any]:
    groups = [group for choice in entry.needs for group in choice if len(choice) == 1]
    required = {name for group in groups for name in group}
    settings = [
        {"name": own.name, "description": own.description, "required": own.name in required, "secret": own.secret}
        for own in entry.own
    ]
    if entry.takes_key:
        key = {"name": "api_key", "description": "The key, or a list of keys used in turn."}
        settings.insert(0, {**key, "required": "api_key" in required, "secret": True})
    return {"base_url": entry.base_url, "settings": settings, "example": _example(entry, settings)}


def _example(entry: ProviderType, settings: list[dict[str, Any]]) -> str:
    lines = ["providers:", f"  my-{entry.name.replace('_', '-')}:", f"    type: {entry.name}"]
    if entry.base_url is None:
        lines.append("    base_url: https://example.com/v1")
    for choice in entry.needs:
        for name in choice[0]:
            setting = next((one for one in settings if one["name"] == name), None)
            value = (
                f"${{{name.upper()}}}" if setting is not None and setting["secret"] else f"my-{name.replace('_', '-')}"
            )
            lines.append(f"    {name}: {value}")
    return "\n".join(lines)
