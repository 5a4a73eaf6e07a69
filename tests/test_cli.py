"""The command line: what people and scripts get from each command, and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from gateway import __version__
from gateway.cli import app, main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command with arguments."""
    return Run(monkeypatch, capsys)


class Run:
    """Calls `main` as the launcher does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self._monkeypatch.setattr(sys, "argv", ["gateway", *arguments])
        code = main()
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err


def test_check_accepts(run: Run) -> None:
    """A good file is summed up in one line, exit code 0; its warnings go to standard error."""
    code, out, err = run("check", str(ROOT / "config" / "examples" / "failover.yaml"))
    assert code == 0
    assert "failover.yaml: ok, revision " in out
    assert all(line.startswith("warning: ") for line in err.splitlines())


def test_check_rejects(run: Run, tmp_path: Path) -> None:
    """A bad file gives every mistake as `file:line:column: message (what to do)`, exit code 1, no traceback."""
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\nproviders:\n  mock: {type: mock, modles: [a]}\n  x: {type: opnai}\n")
    code, out, err = run("check", str(path))
    assert (code, out) == (1, "")
    first, second = err.splitlines()
    assert first.startswith(f"{path}:3:22: ")
    assert "models" in first
    assert second.startswith(f"{path}:4:")


def test_check_missing_file(run: Run, tmp_path: Path) -> None:
    """A file that is not there is a mistake with a remedy, not a traceback."""
    code, _, err = run("check", str(tmp_path / "none.yaml"))
    assert code == 1
    assert "none.yaml" in err
    assert "Traceback" not in err


def test_check_bad_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad environment variable is named with what to do."""
    monkeypatch.setenv("GATEWAY_WORKERS", "many")
    code, _, err = run("check")
    assert code == 1
    assert err.startswith("GATEWAY_WORKERS: 'many'")


def test_schema(run: Run) -> None:
    """`gateway schema` prints the schema that is committed."""
    code, out, _ = run("schema")
    assert code == 0
    assert json.loads(out) == json.loads((ROOT / "config" / "gateway.schema.json").read_text())


def test_a_terminal_of_few_letters(tmp_path: Path) -> None:
    """What a terminal's encoding has no letter for is written in another way."""
    (tmp_path / "bad.yaml").write_text("providers: {mock: {type: mock, mödels: [a]}}\n")
    command = [sys.executable, "-m", "gateway", "check", str(tmp_path / "bad.yaml")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 1
    assert "bad.yaml:1:" in done.stderr
    assert "Traceback" not in done.stderr


def test_version(run: Run) -> None:
    """`gateway version` prints the package's version, and so does `gateway --version`."""
    assert run("version") == (0, f"{__version__}\n", "")
    assert run("--version") == (0, f"{__version__}\n", "")


def test_a_full_disk() -> None:
    """Output that finds no room is told in a line, exit code 1."""
    command = [sys.executable, "-m", "gateway", "schema"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "What was to be written could not be: No space left on device (make room, then try again)\n"


def paths(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every parameter of every command that is a path."""
    for parameter in command.params:
        described = getattr(parameter, "type_descriptor", None)
        if described is not None and described.annotation is Path:
            yield (*words, parameter.name), described.parameter_info
    for name, inner in getattr(command, "commands", {}).items():
        yield from paths(inner, (*words, name))


def test_files_are_judged_by_what_reads_them() -> None:
    """A file that may not be read is told like one that is not there, not as a command that was typed wrongly."""
    found = dict(paths(get_command(app)))
    assert {("check", "file"), ("serve", "config"), ("explain", "body"), ("keys", "create", "config")} <= found.keys()
    assert [words for words, kind in found.items() if kind.readable] == []


@pytest.mark.parametrize("arguments", [["frobnicate"], ["check", "--frob"], ["serve", "--port", "seven"]])
def test_usage_errors(run: Run, arguments: list[str]) -> None:
    """An unknown command or option, or a value of the wrong type, says so and gives exit code 2."""
    code, _, err = run(*arguments)
    assert code == 2
    assert "Error" in err


@pytest.mark.parametrize("option", [["--port", "70000"], ["--workers", "0"]])
def test_serve_bad_value(run: Run, option: list[str]) -> None:
    """A value that no server can have is refused before anything starts, without a traceback."""
    code, _, err = run("serve", *option)
    assert code in (1, 2)
    assert option[0] in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("REDIS_URL", "http://canary@h", "redis://"),
        ("REDIS_URL", "redis://:p@canary/w@h:6379", "%XX"),
        ("DATABASE_URL", "mysql://canary@h/d", "postgresql://"),
        ("GATEWAY_DATA_DIR", "/dev/null", "cannot be made"),
        ("GATEWAY_DATA_DIR", "/dev/null/state", "cannot be made"),
        ("GATEWAY_DATA_DIR", "/proc/self", "cannot be written to"),
    ],
)
def test_serve_bad_state(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, hint: str
) -> None:
    """State that can never be used is refused before any process starts, without a traceback or a credential."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv(variable, value)
    code, out, err = run("serve", "--port", "0")
    assert (code, out) == (1, "")
    assert hint in err
    assert variable in err
    assert "Traceback" not in err
    assert "canary" not in err


def test_serve_refuses_open_addresses(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without keys only loopback is served."""
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    path = tmp_path / "gateway.yaml"
    path.write_text("version: 1\nproviders: {mock: {type: mock, models: [a]}}\n")
    code, _, err = run("serve", "--config", str(path), "--host", "0.0.0.0", "--port", "0")
    assert code == 1
    assert "without keys" in err
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "changeme")
    code, _, err = run("serve", "--config", str(path), "--host", "0.0.0.0", "--port", "0")
    assert code == 1
    assert "this GATEWAY_ADMIN_KEY" in err
    assert "changeme" not in err
