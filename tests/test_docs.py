"""The documents tell the truth: every command and every YAML in them runs, every file they name exists."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.ports import IncidentChanged, QuotaAlert
from gateway.providers import discover
from gateway.providers.discovery.trial import trial
from gateway.providers.wire.openai import OpenAIDialect
from gateway.registry.interpolation import variables
from gateway.registry.loader import load
from gateway.settings import Settings
from gateway.telemetry import access_log
from gateway.upstream.signature import headers_of
from gateway.upstream.webhook import body_of, configuration_body, incident_body
from tests.support.gateway import GatewayProcess, eventually, get
from tests.telemetry.facts import receipt

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")), ROOT / "bench" / "README.md"]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
# An address and a port of the reader's own; a test takes what is free.
_PORT = re.compile(r"(--port )\d+")


def blocks(language: str) -> list[tuple[str, str]]:
    """Every fenced block of this language, with where it stands."""
    return [
        (f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}", found.group(2))
        for page in PAGES
        for text in [page.read_text()]
        for found in _BLOCK.finditer(text)
        if found.group(1) == language
    ]


def commands() -> Iterator[tuple[str, str]]:
    """Every line of every shell block, without its comment."""
    for place, text in blocks("sh"):
        for line in text.splitlines():
            command = line.split("  #")[0].strip()
            if command:
                yield place, command


@pytest.mark.parametrize(("place", "text"), blocks("yaml"))
def test_yaml(place: str, text: str, tmp_path: Path) -> None:
    """Every configuration in the documents is valid, without a warning."""
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    env = {name: f"value-of-{name}-0123456789012345678901234567" for name in variables(text.encode())}
    assert load(path, env).warnings == (), place


@pytest.mark.parametrize(("place", "command"), [c for c in commands() if c[1].startswith("make ")])
def test_make(place: str, command: str) -> None:
    """Every make target in the documents exists and is listed by `make help`."""
    listed = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert command.split()[1] in {line.split()[0] for line in listed.splitlines()}, place


@pytest.mark.parametrize(("place", "command"), [c for c in commands() if c[1].startswith("gateway ")])
def test_gateway(place: str, command: str, tmp_path: Path) -> None:
    """Every gateway command in the documents runs: those that end do so well, servers answer."""
    words = shlex.split(_PORT.sub(r"\g<1>0", command))[1:]
    env = {**os.environ, "GATEWAY_DATA_DIR": str(tmp_path), "GATEWAY_DRAIN_GRACE_SECONDS": "0"}
    with (tmp_path / "out").open("w+") as out:
        process = subprocess.Popen([sys.executable, "-m", "gateway", *words], cwd=ROOT, stdout=out, stderr=out, env=env)
        try:
            if words[0] in ("serve", "mock"):
                base = eventually(lambda: _base_url(tmp_path / "out"), f"{place}: {command}", 30)
                assert get(f"{base}/models").status == 200, place
            else:
                assert process.wait(30) == 0, (place, (tmp_path / "out").read_text())
        finally:
            process.terminate()
            process.wait(30)


def _base_url(log: Path) -> str | None:
    found = re.search(r"http://127\.0\.0\.1:\d+/v1", log.read_text())
    return found.group() if found else None


def test_every_command_is_covered() -> None:
    """No other kind of command stands in the documents than those that are run here or by the other tests."""
    others = {c.split()[0] for _, c in commands()} - {"make", "gateway"}
    assert others == set()


def test_readme_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's request with the openai SDK is answered: chat, stream, embeddings; `/metrics` shows it."""
    [(_, snippet)] = [block for block in blocks("python") if "from openai" in block[1]]
    with GatewayProcess(
        "version: 1\nproviders: {mock: {type: mock, models: [mock-small, mock-embed]}}\n", tmp_path
    ) as gateway:
        scope: dict[str, object] = {}
        code = f"{snippet.replace('http://127.0.0.1:8080', gateway.base_url)}\nclient.close()\n"
        exec(compile(code, "README.md", "exec"), scope)
        printed = capsys.readouterr().out.splitlines()
        shown = gateway.get("/metrics").body
        there = {path.name for path in (tmp_path / "state").iterdir()}
    assert printed[:2] == ["echo: Hello", "echo: Hello"]
    assert printed[2].startswith("2 vectors of ")
    assert b'gen_ai_operation_name="embeddings"' in shown
    told = {name.rstrip("/") for row in rows("The data directory") for name in _CODE.findall(row[0])}
    assert {name.partition("gateway.db-")[0] or "gateway.db" for name in there} <= told


def test_every_variable_is_told_of() -> None:
    """The table of variables has every one that the gateway reads, by each name, with its default."""
    told: dict[str, str] = {}
    for names, defaults, _ in rows("Environment")[1:]:
        called = names.replace("`", "").split(", ")
        told |= zip(called, _CODE.findall(defaults) or [""] * len(called), strict=True)
    assert told == {
        ("(GATEWAY_)" if field.validation_alias else "GATEWAY_") + name.upper(): _shown(field.default)
        for name, field in Settings.model_fields.items()
    }


def test_the_access_log_is_told_of() -> None:
    """Every field of a line stands in the table, and no other."""
    told = [name for row in rows("Logs")[1:] for name in _CODE.findall(row[0])]
    assert sorted(told) == sorted(access_log.line(receipt()))


def _shown(default: object) -> str:
    """As the table has it; empty where there is none."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return "" if default in (None, (), frozenset()) else str(default)


_CODE = re.compile(r"`([^`]+)`")


def rows(section: str) -> list[list[str]]:
    """The cells of the first table of this section of the page on operations, its head included."""
    page = (ROOT / "docs" / "operations.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in page.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(("place", "snippet"), [block for block in blocks("python") if "DIALECT" in block[1]])
def test_provider_types(place: str, snippet: str) -> None:
    """The examples of new provider types are sound dialects."""
    scope: dict[str, object] = {}
    exec(snippet, scope)
    dialect = scope["DIALECT"]
    assert isinstance(dialect, OpenAIDialect), place
    assert [step.problems for step in trial(dialect) if step.problems] == []


@pytest.mark.parametrize(("place", "text"), blocks("toml"))
def test_toml(place: str, text: str) -> None:
    """Every TOML in the documents parses."""
    assert tomllib.loads(text), place


def test_alert() -> None:
    """The alerts in the documents have the fields of those that are posted."""
    shown_all = [json.loads(text) for _, text in blocks("json") if '"event"' in text]
    [shown] = [each for each in shown_all if each["event"].startswith("quota_")]
    [incident] = [each for each in shown_all if each["event"].startswith("incident_")]
    change = IncidentChanged("opened", "inc-1", "p", "5xx", 0.0, 1.0, 2, ("p/m",), ("r",))
    told = json.loads(incident_body(change, 0.0))
    assert {name: type(value) for name, value in incident.items()} == {name: type(v) for name, v in told.items()}
    alert = QuotaAlert("soft", "team", "research", "research", "cost", "month", 0.0, 500, 410, "reject")
    posted = json.loads(body_of(alert, 0.0))
    assert {name: type(value) for name, value in shown.items()} == {name: type(v) for name, v in posted.items()}
    [config] = [each for each in shown_all if each["event"].startswith("config_")]
    rejected = json.loads(configuration_body("r", "rev", "reason", 0.0))
    assert {name: type(value) for name, value in config.items()} == {name: type(v) for name, v in rejected.items()}


def test_the_receiver_of_webhooks() -> None:
    """The receiver in the documents takes what is signed, and nothing else."""
    [(_, snippet)] = [block for block in blocks("python") if "def verified" in block[1]]
    scope: dict[str, Any] = {}
    exec(snippet, scope)
    secret, body = "s" * 32, b'{"event": "x"}'
    now = int(time.time())
    signed = {name.decode(): value.decode() for name, value in headers_of(secret, "msg_1", now, body)}
    assert scope["verified"](secret, signed, body)
    assert not scope["verified"](secret, signed, body + b" ")
    assert not scope["verified"](secret[:-1], signed, body)
    assert not scope["verified"](secret, {**signed, "webhook-id": "msg_2"}, body)
    old = {name.decode(): value.decode() for name, value in headers_of(secret, "msg_1", now - 600, body)}
    assert not scope["verified"](secret, old, body)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Every file that a document links to exists."""
    missing = [target for target in _LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert missing == []


def test_decisions_are_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    titles = {page.name: page.read_text().partition("\n")[0] for page in folder.glob("0*.md")}
    listed = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert {name: f"# {number}. {title}" for number, title, name in listed} == titles


def test_readme_lists_served_types() -> None:
    """The README names exactly the provider types that are served."""
    text = (ROOT / "README.md").read_text().split("## Limits of this version")[1]
    named = set(re.findall(r"`([a-z_]+)`", text.split("are served (")[1].split(")")[0]))
    assert named == set(discover())
