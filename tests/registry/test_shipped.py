"""The files that are shipped: the default, the examples and the schema."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from gateway.registry import load, schema_json
from gateway.registry.catalogue import ALIASES, TYPES
from gateway.registry.source import HEADINGS
from gateway.registry.yaml_reader import read_yaml
from tests.registry.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFAULT = ROOT / "config" / "gateway.yaml"
EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.yaml"))
SCHEMA = ROOT / "config" / "gateway.schema.json"


def variables(path: Path) -> dict[str, str]:
    names = set(re.findall(r"\$\{(\w+)\}", path.read_text()))
    return {name: f"{name.lower()}-{'0123456789' * 3}" for name in names}


@pytest.mark.parametrize("path", [DEFAULT, *EXAMPLES], ids=lambda path: path.name)
def test_shipped_files_are_valid_with_and_without_their_variables(path: Path) -> None:
    """Everything set: no warning. Nothing set: only warnings about what is unset."""
    assert load(path, variables(path)).warnings == ()
    assert all("is not set" in line or "are not set" in line or "no target" in line for line in load(path, {}).warnings)


@pytest.mark.parametrize("path", [DEFAULT, *EXAMPLES], ids=lambda path: path.name)
def test_shipped_files_name_the_schema(path: Path) -> None:
    """Editors find the schema by a relative path that exists."""
    found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text())
    assert found
    assert (path.parent / found[1]).resolve() == SCHEMA


def test_the_examples_are_those_that_the_guide_names() -> None:
    """One example per situation."""
    assert [path.name for path in EXAMPLES] == [
        "all-providers.yaml",
        "failover.yaml",
        "local-ollama-vllm.yaml",
        "one-provider.yaml",
        "teams-and-budgets.yaml",
    ]


def test_all_providers_shows_every_type() -> None:
    """A new type gets an entry in the example."""
    providers = load(ROOT / "config/examples/all-providers.yaml", {}).snapshot.providers.values()
    assert {provider.type for provider in providers} == set(TYPES)


def test_the_default_file_is_the_built_in_default() -> None:
    """With every key set, both serve the same providers."""
    env = variables(DEFAULT)
    shipped, builtin = load(DEFAULT, env).snapshot, load(None, env).snapshot
    facts = [
        {(item.name, item.type, item.base_url, item.api_keys) for item in snapshot.providers.values()}
        for snapshot in (shipped, builtin)
    ]
    assert facts[0] == facts[1]
    assert list(shipped.models) == list(builtin.models)


def test_the_committed_schema_is_in_step() -> None:
    """`gateway schema` and the file say the same; if not, write its output into the file."""
    assert json.loads(SCHEMA.read_text()) == schema_json()


def test_the_schema_takes_what_the_shipped_file_has() -> None:
    """Headings with everything below them commented out are valid for editors as they are for the loader."""
    empty = [name for name, value in read_yaml(DEFAULT, DEFAULT.read_text()).data.items() if value is None]
    assert "routes" in empty
    for heading in {*empty, *HEADINGS}:
        assert {"type": "null"} in schema_json()["properties"][heading]["anyOf"], heading


def properties(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, list):
        for item in schema:
            yield from properties(item, place)
    elif isinstance(schema, dict):
        for name, item in schema.get("properties", {}).items() if place.rsplit("/", 1)[-1] != "if" else ():
            yield f"{place}/{name}", item
        for name, item in schema.items():
            yield from properties(item, f"{place}/{name}")


def test_the_schema_wants_one_of_those_that_the_loader_wants() -> None:
    """Editors mark a mapping in which the one thing is missing that the loader refuses it for."""
    known = schema_json()["$defs"]
    assert [known[name]["minProperties"] for name in ("Match", "Span", "Fallbacks")] == [1, 1, 1]
    wanted = {
        "Route": {"match", "default"},
        "Key": {"secret", "secret_hash"},
        "Quota": {"cost", "tokens", "requests"},
        "LimitRule": {"requests", "tokens", "concurrency", "quotas"},
    }
    for name, settings in wanted.items():
        assert {one for option in known[name]["anyOf"] for one in option["required"]} == settings, name


def test_every_property_is_described() -> None:
    """Editors can show a sentence for each setting, and every reference leads somewhere."""
    schema = schema_json()
    found = list(properties(schema))
    assert len(found) > 100
    for place, item in found:
        while "$ref" in item and "description" not in item:
            target: Any = schema
            for step in item["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            item = target
        assert item.get("description"), place


def test_the_schema_knows_every_type_and_its_settings() -> None:
    """Each provider type has its own properties and refuses others."""
    definitions = schema_json()["$defs"]
    assert set(definitions["provider"]["properties"]["type"]["enum"]) == {*TYPES, *ALIASES}
    for kind in TYPES.values():
        own = definitions[f"provider_{kind.name}"]
        assert {setting.name for setting in kind.own} <= set(own["properties"])
        assert ("api_key" in own["properties"]) is kind.takes_key
        assert own["additionalProperties"] is False
