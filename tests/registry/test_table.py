"""The compiled table that workers share."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.registry import ConfigError, load, load_cached
from gateway.registry import table as table_module
from gateway.registry.table import PREFIX, holds_secrets
from tests.registry.support import MOCK, ROOT

if TYPE_CHECKING:
    from pathlib import Path

ENV = {
    "OPENAI_API_KEY": "sk-Zq81-secret",
    "CI_GATEWAY_KEY": "c" * 32,
    "PORT": "8000",
    "HOOK": "https://hooks.example/T0",
}
TEXT = """
providers:
  openai: {type: openai, api_key: "${OPENAI_API_KEY}", models: {gpt-4o: {price: {input: 1, output: 2}}}}
  local: {type: vllm, base_url: "http://h:${PORT}/v1", headers: {authorization: "Bearer ${OPENAI_API_KEY}"}}
  off: {type: groq, api_key: "${GROQ_API_KEY}"}
routes: [{name: r, match: {model: x}, targets: [{provider: openai, model: gpt-4o}]}]
keys: [{name: ci, secret: "${CI_GATEWAY_KEY}", limits: {requests: 5/s}, services: chat, expires: 2099-01-31}]
zone: Europe/Berlin
limits: [{name: each, scope: user, quotas: [{period: day, cost: 1, action_on_exceed: throttle}]}]
"""


class Memory:
    """A store in a dict, which remembers what was asked of it."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.writes = 0

    async def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def set(self, key: str, value: bytes, ttl: int) -> None:
        assert ttl > 0
        self.writes += 1
        self.values[key] = value


def write(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(TEXT)
    return file


async def test_a_stored_table_gives_the_same_snapshot_without_parsing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second worker neither parses nor checks, and serves exactly what the first does."""
    store = Memory()
    first = await load_cached(path, ENV, store)
    monkeypatch.setattr(table_module, "parse", lambda *_: pytest.fail("parsed again"))
    second = await load_cached(path, ENV, store)
    assert store.writes == 1
    assert next(iter(store.values)).startswith(PREFIX)
    assert second.document == first.document
    assert second.snapshot.revision == first.snapshot.revision == load(path, ENV).snapshot.revision
    assert (
        second.snapshot.warnings == first.snapshot.warnings == ("provider `off` is inactive: GROQ_API_KEY is not set",)
    )
    assert second.snapshot.keys.keys() == first.snapshot.keys.keys()
    assert second.snapshot.routes[0].name == "r"
    assert second.snapshot.limits == first.snapshot.limits
    assert second.snapshot.zone == "Europe/Berlin"
    assert second.snapshot.virtual_keys["ci"].principal.expires_at == 4073500800.0
    assert second.snapshot.deployments["openai/gpt-4o"].price == first.snapshot.deployments["openai/gpt-4o"].price
    assert second.snapshot.providers["openai"].api_keys == ("sk-Zq81-secret",)


async def test_no_secret_of_the_environment_is_stored(path: Path) -> None:
    """Neither the key of the store nor the table holds a value of the environment."""
    store = Memory()
    await load_cached(path, ENV, store)
    ((key, value),) = store.values.items()
    assert b"Zq81" not in value
    assert "Zq81" not in key
    assert b"${OPENAI_API_KEY}" in value


@pytest.mark.parametrize("damage", [b"", b"x", b"{}", b"\0" * 32 + b"{}", b"\xff" * 500])
async def test_a_corrupt_table_is_ignored_and_replaced(path: Path, damage: bytes) -> None:
    """Garbage in the store costs a parse and is overwritten."""
    store = Memory()
    await load_cached(path, ENV, store)
    ((key, good),) = store.values.items()
    store.values[key] = damage
    loaded = await load_cached(path, ENV, store)
    assert loaded.snapshot.revision == load(path, ENV).snapshot.revision
    assert store.values[key] == good


async def test_a_forged_table_is_ignored(path: Path, tmp_path: Path) -> None:
    """A table sealed for another file, or changed in one byte, is not used."""
    store = Memory()
    await load_cached(path, ENV, store)
    ((key, good),) = store.values.items()
    other = tmp_path / "other.yaml"
    other.write_text(TEXT.replace("http://h:", "http://evil:"))
    foreign = Memory()
    await load_cached(other, ENV, foreign)
    for forged in (next(iter(foreign.values.values())), good.replace(b"//h:", b"//g:")):
        store.values[key] = forged
        loaded = await load_cached(path, ENV, store)
        assert loaded.snapshot.providers["local"].base_url == "http://h:8000/v1"
        assert store.values[key] == good


async def test_another_environment_has_another_table(path: Path) -> None:
    """A variable that the file uses separates tables; one that it does not use does not."""
    store = Memory()
    await load_cached(path, ENV, store)
    await load_cached(path, ENV | {"UNUSED": "1"}, store)
    assert len(store.values) == 1
    await load_cached(path, ENV | {"PORT": "9000"}, store)
    await load_cached(path, ENV, store, dialects=frozenset({"openai"}))
    assert len(store.values) == 3


async def test_bad_files_are_not_stored(path: Path) -> None:
    """An error reaches the caller and nothing is kept."""
    store = Memory()
    write(path, "providers: {}")
    with pytest.raises(ConfigError):
        await load_cached(path, ENV, store)
    assert store.values == {}


async def test_the_built_in_default_needs_no_store() -> None:
    """Without a file there is nothing worth storing."""
    store = Memory()
    assert (await load_cached(None, {}, store)).snapshot.open_mode
    assert store.values == {}


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        (MOCK, False),
        ("providers: {a: {type: openai, api_key: sk-literal}}", True),
        ("providers: {a: {type: openai, api_key: ['${OPENAI_API_KEY}', sk-literal]}}", True),
        ("providers: {a: {type: openai, api_key: '${OPENAI_API_KEY:-sk-literal}'}}", True),
        ("providers: {a: {type: openai, api_key: 'sk-${PORT}'}}", True),
        ("providers: {a: {type: openai, api_key: '$${PORT}'}}", True),
        ("providers: {a: {type: openai, api_key: '${OPENAI_API_KEY}'}}", False),
        ("providers: {a: {type: mock, headers: {X-Api-Key: literal}}}", True),
        ("providers: {a: {type: mock, headers: {x-title: literal}}}", False),
        (MOCK + f"keys: [{{name: k, secret: {'s' * 32}}}]", True),
        (
            MOCK + "alerts: {webhook: '${HOOK}', headers: {authorization: 'Bearer ${CI_GATEWAY_KEY}'}}",
            False,
        ),
        (MOCK + "alerts: {webhook: 'https://hooks.example/T0/abc'}", True),
        (MOCK + "alerts: {webhook: 'https://hooks.example/${PORT}'}", False),
        (MOCK + "alerts: {webhook: 'https://hooks.example/${PORT}/abc'}", True),
        (MOCK + "alerts: {webhook: 'https://hooks.example/$${PORT}'}", True),
        (MOCK + "alerts: {webhook: '${NONE:-https://hooks.example/T0}'}", True),
        (MOCK + "alerts: {webhook: 'http://127.0.0.1:9000'}", False),
        (MOCK + "alerts: {headers: {x-anything: literal}}", True),
        (MOCK + f"alerts: {{secret: {'s' * 32}}}", True),
        (MOCK + "alerts: {secret: '${CI_GATEWAY_KEY}'}", False),
    ],
)
async def test_a_document_with_literal_secrets_is_never_stored(text: str, literal: bool, path: Path) -> None:
    """Credentials that are written in the file stay in the file."""
    write(path, text)
    assert holds_secrets(load(path, ENV).document) is literal
    store = Memory()
    await load_cached(path, ENV, store)
    assert bool(store.values) is not literal


def test_importing_the_registry_is_cheap() -> None:
    """Neither YAML, pydantic nor watchfiles is loaded until a file has to be parsed or watched."""
    code = (
        "import sys, gateway.registry, gateway.registry.reload\n"
        "print(sorted({'pydantic', 'ruamel', 'ruamel.yaml', 'watchfiles', 'tomllib'} & set(sys.modules)))"
    )
    # Measuring coverage would load some of them by itself.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    assert done.stdout == "[]\n"
