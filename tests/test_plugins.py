"""Provider types from elsewhere: a file, a module or a package adds one, is told apart when it is bad, and serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from openai import BadRequestError, OpenAI

from gateway.providers import discover
from gateway.providers.discovery import PluginFailed, load_plugin
from gateway.providers.discovery.trial import trial
from gateway.registry.loader import load
from gateway.registry.plugins import dialects_for
from gateway.registry.problems import ConfigError
from gateway.registry.table import holds_secrets
from tests.support.gateway import GatewayProcess, eventually, get

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
SOUND = """
from gateway.ports import Setting
from gateway.providers.wire.openai import OpenAIDialect

class Acme(OpenAIDialect):
    base_url = "https://acme.example/v1"
    settings = (Setting("tenant", "Yours.", required=True), Setting("pin", "Secret.", secret=True))

DIALECT = Acme("acme")
"""
CONFIG = """
version: 1
plugins: [{plugin}]
providers:
  acme: {{type: acme, api_key: k, {settings}}}
"""


def written(directory: Path, source: str, settings: str = "tenant: t") -> Path:
    """A configuration with this plugin beside it."""
    (directory / "acme.py").write_text(source)
    path = directory / "gateway.yaml"
    path.write_text(CONFIG.format(plugin="./acme.py", settings=settings))
    return path


def loaded_errors(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, {}, dialects=dialects_for(path))
    return str(caught.value)


def test_a_file_beside_the_configuration(tmp_path: Path) -> None:
    """Its type can be used, with its address and settings, and its secrets are known as such."""
    path = written(tmp_path, SOUND, "tenant: t, pin: '${PIN}'")
    dialects = dialects_for(path)
    loaded = load(path, {"PIN": "p"}, dialects=dialects)
    provider = loaded.snapshot.providers["acme"]
    assert (provider.base_url, dict(provider.options)) == ("https://acme.example/v1", {"tenant": "t", "pin": "p"})
    assert dialects.origins["acme"] == "plugin ./acme.py"
    del loaded.document["providers"]["acme"]["api_key"]
    assert not holds_secrets(loaded.document, dialects)
    loaded.document["providers"]["acme"]["pin"] = "literal"
    assert holds_secrets(loaded.document, dialects)


def test_its_settings_are_checked(tmp_path: Path) -> None:
    """What its type needs and does not know is told with its place, as for our own types."""
    text = loaded_errors(written(tmp_path, SOUND, "tenat: t"))
    assert "gateway.yaml:5:" in text
    assert "did you mean `tenant`" in text
    assert "needs `tenant`" in loaded_errors(written(tmp_path, SOUND, "status: active"))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("1 / 0\n", "cannot be loaded: ZeroDivisionError"),
        ("def (\n", "cannot be loaded: SyntaxError"),
        ("raise SystemExit(3)\n", "cannot be loaded: SystemExit"),
        ("X = 1\n", "has no `DIALECT`"),
        ("DIALECT = object()\n", "the method `head` is missing"),
        (SOUND.replace('Acme("acme")', "Acme"), "it is the class Acme, not an instance"),
        (SOUND.replace('Acme("acme")', 'Acme("openai")'), "`openai` is defined twice, by built in and by plugin"),
        (SOUND + "    \nAcme.decode = lambda self, body: None\n", "`decode` must take 4 arguments"),
        (SOUND + "Acme.answer = lambda self, request: None\n", "`answer` must be a coroutine"),
        (SOUND + "Acme.read_token = lambda self, a, b, c: None\n", "not `token_request`"),
        (SOUND + 'Acme.settings = ("tenant",)\n', "`settings` must be a tuple"),
        (SOUND + "DIALECT.services = {1}\n", "`services` must be a frozenset"),
    ],
)
def test_a_bad_plugin(tmp_path: Path, source: str, told: str) -> None:
    """Whatever is wrong with it is one located error that says what."""
    text = loaded_errors(written(tmp_path, source))
    assert text.startswith(f"{tmp_path}/gateway.yaml:3:11: plugin `./acme.py`: ")
    assert told in text


def test_a_missing_plugin(tmp_path: Path) -> None:
    """A file that is not there, and a module that cannot be imported."""
    path = written(tmp_path, SOUND)
    (tmp_path / "acme.py").unlink()
    assert "3:11: plugin `./acme.py`: the file does not exist" in loaded_errors(path)
    with pytest.raises(PluginFailed, match="ModuleNotFoundError"):
        load_plugin("nowhere.to_be_found", tmp_path)


def test_an_installed_package(tmp_path: Path) -> None:
    """The example package, installed, is listed, described, sound, and usable in a configuration."""
    info = tmp_path / "acme_gateway-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-gateway\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[gateway.providers]\nacme = acme_gateway:DIALECT\n")
    path = tmp_path / "gateway.yaml"
    path.write_text("version: 1\nproviders:\n  acme: {type: acme, api_key: k, tenant: t, models: [a]}\n")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}:{EXAMPLES / 'acme'}"}

    def gateway(*arguments: str) -> str:
        command = [sys.executable, "-m", "gateway", *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stdout

    listed = {row["type"]: row for row in json.loads(gateway("providers", "list", "--json"))}
    assert listed["acme"]["from"] == "package acme-gateway"
    assert listed["acme"]["services"] == ["chat", "embeddings"]
    described = json.loads(gateway("providers", "describe", "acme", "--json"))
    assert described["base_url"] == "https://api.acme.example/v1"
    assert {"name": "tenant", "description": "Your tenant at Acme.", "required": True, "secret": False} in described[
        "settings"
    ]
    assert "acme: ok" in gateway("providers", "test", "acme")
    assert "1 model," in gateway("check", str(path))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("def decode(self, call, deployment, headers, body): return {}['x']", "`decode` of b'' raises KeyError"),
        ("def error(self, status, headers, body): return ValueError()", "status 400 gives no UpstreamError"),
        ("def body(self, call, deployment): return 'text'", "`body` must give a list or tuple of bytes"),
        ("def decode_models(self, body): return body['data']", "`decode_models` of b'' raises TypeError"),
    ],
)
def test_the_trial_finds_it(tmp_path: Path, change: str, told: str) -> None:
    """An implementation of the right shape that behaves badly is found out without a server."""
    path = tmp_path / "acme.py"
    path.write_text(SOUND.replace("    base_url", f"    {change}\n    base_url"))
    steps = trial(load_plugin("acme.py", tmp_path))
    assert any(told in problem for step in steps for problem in step.problems)


@pytest.mark.parametrize("name", sorted(discover()))
def test_ours_are_sound(name: str) -> None:
    """Every built-in type passes the trial that others have to pass."""
    from gateway.commands.providers import _made_up  # noqa: PLC0415

    dialect = discover()[name]
    options, address = _made_up(dialect, discover())
    assert [(step.name, step.problems) for step in trial(dialect, options, address) if step.problems] == []


FRAMEWORK = f"""
version: 1
plugins: ["{EXAMPLES}/pydantic_ai_provider.py"]
providers:
  ai: {{type: pydantic_ai, models: [test]}}
"""


def test_another_framework_behind_the_gateway(tmp_path: Path) -> None:
    """PydanticAI's models answer OpenAI's SDK, whole and streamed, with their usage booked; what the provider cannot
    carry is refused; a reload that names another plugin is refused and says what to do."""
    with GatewayProcess(FRAMEWORK, tmp_path) as gateway:
        client = OpenAI(base_url=gateway.api, api_key="none", max_retries=0)
        reply = client.chat.completions.create(model="test", messages=[{"role": "user", "content": "Hi"}])
        assert reply.choices[0].message.content == "success (no tool calls)"
        assert reply.usage is not None
        assert reply.usage.completion_tokens == 4
        stream = client.chat.completions.create(model="test", messages=[{"role": "user", "content": "Hi"}], stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert text == "success (no tool calls)"
        with pytest.raises(BadRequestError, match="`logit_bias` is not carried"):
            client.chat.completions.create(
                model="test", messages=[{"role": "user", "content": "Hi"}], logit_bias={"1": 1}
            )
        usage = eventually(lambda: _used(gateway, tmp_path), "two calls in the ledger")
        assert usage == {"requests": 2, "output_tokens": 8}
        gateway.config.write_text(FRAMEWORK.replace("plugins: [", 'plugins: ["./another.py", '))
        reasons = eventually(lambda: get(f"{gateway.base_url}/readyz").json()["reasons"], "a rejected configuration")
        assert "this plugin is not loaded (restart the gateway" in reasons[0]


def _used(gateway: GatewayProcess, directory: Path) -> dict[str, int] | None:
    """What the ledger says once both calls are there."""
    env = {"PATH": os.environ["PATH"], "GATEWAY_DATA_DIR": str(directory / "state")}
    command = [sys.executable, "-m", "gateway", "usage", "--rows", "--json"]
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60).stdout
    rows = [row for row in map(json.loads, out.splitlines()) if row["status"] == 200]
    if len(rows) < 2:
        return None
    return {"requests": len(rows), "output_tokens": sum(row["output_tokens"] for row in rows)}
