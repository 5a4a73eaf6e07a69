"""`provider.config.toml`: tables `[provider.cloud.NAME]` and `[providers.custom.NAME]`, one for each provider."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from gateway.importing.addresses import is_private
from gateway.importing.credentials import Variables, headers, plain, reference, references
from gateway.importing.draft import Draft, Noted, name_for
from gateway.registry.catalogue import ALIASES, TYPES
from gateway.registry.problems import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.registry.source import Source

_ROOTS = ("provider", "providers")
_GROUPS = ("cloud", "custom")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_KNOWN = frozenset({"api_key", "base_url", "models", "fetch_models", "timeout", "headers", "type"})


def is_providers_toml(data: dict[str, Any]) -> bool:
    """Whether the document has such tables."""
    return any(True for _ in _tables(data))


def _tables(data: dict[str, Any]) -> Iterator[tuple[tuple[str, str, str], Any]]:
    for root in _ROOTS:
        for group in _GROUPS:
            tables = data.get(root)
            named = tables.get(group) if isinstance(tables, dict) else None
            for name, table in named.items() if isinstance(named, dict) else ():
                yield (root, group, name), table


def from_toml(source: Source) -> Draft:
    """The providers. What each model costs and may do is in the catalogue already."""
    draft = Draft(PurePath(source.file).name)
    variables = Variables(references(source.data))
    for trail, table in _tables(source.data):
        if not isinstance(table, dict):
            draft.note(f"{shown('.'.join(trail))} is not a table ({source.place(trail)})")
            continue
        name = name_for(trail[2], draft.providers)
        draft.providers[name] = _provider(name, trail, table, variables, source)
    for key in sorted(source.data.keys() - set(_ROOTS)):
        draft.note(f"{shown(key)} was not carried over: nothing here corresponds to it ({source.place((key,))})")
    for root in _ROOTS:
        tables = source.data.get(root)
        for key in sorted(tables.keys() - set(_GROUPS)) if isinstance(tables, dict) else ():
            draft.note(f"{shown(f'{root}.{key}')} was not carried over ({source.place((root, key))})")
    return draft


def _provider(
    name: str, trail: tuple[str, str, str], table: dict[str, Any], variables: Variables, source: Source
) -> Noted:
    _, group, given = trail
    settings = Noted(type=_type(group, given, table))
    if settings["type"] == "openai_compatible" and given not in ("custom", "openai_compatible"):
        settings.note("taken as a provider that speaks OpenAI's API")
    if "base_url" in table:
        settings["base_url"] = plain(table["base_url"])
        if is_private(table["base_url"]) and not TYPES[settings["type"]].private:
            settings["allow_private_network"] = True
    if table.get("api_key"):
        settings["api_key"] = _key(
            name, group, table["api_key"], variables, settings, source.place((*trail, "api_key"))
        )
    if isinstance(table.get("models"), list):
        settings["models"] = list(dict.fromkeys(plain(model) for model in table["models"] if isinstance(model, str)))
    if "fetch_models" in table:
        settings["fetch_models"] = table["fetch_models"]
    if "timeout" in table:
        settings["timeout"] = plain(table["timeout"])
    if table.get("headers"):
        settings["headers"] = headers(
            table["headers"], variables, name, settings.note, source.place((*trail, "headers"))
        )
    for key in sorted(table.keys() - _KNOWN):
        place = source.place((*trail, key))
        settings.note(f"{shown(key)} was not carried over: nothing here corresponds to it ({place})")
    return settings


def _type(group: str, name: str, table: dict[str, Any]) -> str:
    given = str(table.get("type", name)).lower()
    given = ALIASES.get(given, given)
    address = table.get("base_url")
    if given == "gemini" and isinstance(address, str) and "/openai" in address:
        return "openai_compatible"
    if given in TYPES and (group == "cloud" or TYPES[given].private):
        return given
    return "openai_compatible"


def _key(name: str, group: str, value: Any, variables: Variables, settings: Noted, place: str) -> Any:
    """A word in capitals is the name of a variable, as the files' own examples have it."""
    if isinstance(value, str) and reference(value) is None and _VARIABLE.fullmatch(value) is not None:
        settings.note(f"`api_key` was {shown(value)}: taken as the name of a variable")
        value = f"${{{value}}}"
    taken = variables.take(value, f"{name}_API_KEY", settings.note, place)
    # Such a server often needs none: without the variable the provider works all the same.
    return f"{taken[:-1]}:-}}" if group == "custom" else taken
