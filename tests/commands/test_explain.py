"""`gateway explain`: what operators and programs are told, with and without a gateway that runs."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.limits.demand import Demand
from gateway.limits.gate import Gate
from gateway.limits.policy import Policy, one_shard
from gateway.limits.reservation import Reservation
from gateway.registry.loader import load
from gateway.storage.redis import RedisOptions, connect
from gateway.telemetry.base import SilentObserver
from tests.support.app import store_url, unique
from tests.support.gateway import GatewayProcess, eventually

CONFIG = """
version: 1
providers:
  {p}:
    type: mock
    models:
      dear: {{price: {{input: 9, output: 9}}, context_window: 8k, capabilities: [chat, tools]}}
      cheap: {{price: {{input: 1, output: 1}}}}
      other: {{}}
      narrow: {{rate_limit: {{requests: 1/day}}}}
  t: {{type: mock, status: testing, models: [cheap]}}
aliases: {{best: m}}
routes:
  - {{name: pictures, match: {{model: m, capabilities: vision}}, targets: [{{provider: {p}, model: other}}]}}
  - {{name: staff, match: {{model: "m*", group: staff}}, targets: [{{provider: {p}, model: other}}]}}
  - name: by-price
    match: {{model: m}}
    strategy: cost_optimized
    targets: [{{provider: {p}, model: dear}}, {{provider: {p}, model: cheap}}, {{provider: t, model: cheap}}]
  - {{name: pair, match: {{model: pair}}, targets: [{{provider: {p}, model: narrow}}, {{provider: {p}, model: other}}]}}
keys:
  - {{name: {key}, secret: explain-test-secret-0123456789abcdef, limits: {{requests: 1/day}}, models: [m, best, pair]}}
  - {{name: {colleague}, secret: colleague-test-secret-0123456789abc, groups: [staff, x]}}
"""


class Run:
    """Calls `main` as the launcher does, with a configuration of the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], directory: Path) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.names = {name: unique(name) for name in ("p", "key", "colleague")}
        self.config = directory / "gateway.yaml"
        self.config.write_text(CONFIG.format(**self.names))
        self.state = directory / "state"
        monkeypatch.setenv("GATEWAY_DATA_DIR", str(self.state))
        for name in ("REDIS_URL", "DATABASE_URL", "GATEWAY_CONFIG"):
            monkeypatch.delenv(name, raising=False)

    def __call__(self, *arguments: str, command: str = "explain") -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self._monkeypatch.setattr(sys, "argv", ["gateway", *command.split(), *arguments])
        code = main()
        captured = self._capsys.readouterr()
        return code, captured.out.replace(self.names["p"], "p"), captured.err

    def explained(self, *arguments: str) -> Any:
        """What it prints for programs."""
        code, out, err = self(*arguments, "--json", "--config", str(self.config))
        assert (code, err) == (0, "")
        return json.loads(out)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command over no state at all."""
    return Run(monkeypatch, capsys, tmp_path)


def deployments(told: Any) -> list[str]:
    """The candidates by name."""
    return [one["deployment"] for one in told["candidates"]]


def test_for_people(run: Run) -> None:
    """The request, what its name means, the routes it passed and why, the order, who is left out and why."""
    code, out, err = run("best", "--tools", "--max-tokens", "10", "--config", str(run.config))
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[:4] == [
        "request   chat for best, needs tools, 24 tokens",
        "means     m",
        "passed    pictures: not its capabilities",
        "passed    staff: not its group",
    ]
    assert lines[4].startswith("route     by-price (cost_optimized), revision ")
    assert lines[5:9] == [
        "       1. p/cheap",
        "       2. p/dear",
        "left out  t/cheap: testing: its provider serves only requests that name it",
        "left out  p/other, p/narrow: rule: `by-price` does not lead there",
    ]
    assert [line.split()[0] for line in lines[9:]] == ["note"] * 3


@pytest.mark.parametrize(
    ("arguments", "route", "candidates", "left_out"),
    [
        (["m", "--vision"], "pictures", ["p/other"], {}),
        (["m", "--tokens", "9000"], "by-price", ["p/cheap"], {"p/dear": "context", "t/cheap": "testing"}),
        (["m", "--json-schema"], "by-price", ["p/cheap"], {"p/dear": "capability", "t/cheap": "testing"}),
        (["m", "--key", "{colleague}"], "staff", ["p/other"], {}),
        (["t/cheap"], "direct", ["t/cheap"], {}),
        (["cheap", "--provider", "t"], "direct", ["t/cheap"], {}),
        (["m", "--body", "{body}"], "pictures", ["p/other"], {}),
        (["cheap", "--service", "embeddings"], "model", ["p/cheap"], {"t/cheap": "testing"}),
    ],
)
def test_each_option_counts(
    run: Run, tmp_path: Path, arguments: list[str], route: str, candidates: list[str], left_out: dict[str, str]
) -> None:
    """What a request has, whose it is and where it is pinned to lead where such a request goes."""
    body = tmp_path / "body.json"
    parts = [{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]
    body.write_text(json.dumps({"model": "m", "messages": [{"role": "user", "content": parts}]}))
    told = run.explained(*(word.format(body=body, **run.names) for word in arguments))
    assert (told["route"], deployments(told), told["refusal"]) == (route, candidates, None)
    reasons = {one["deployment"]: one["reason"].partition(":")[0] for one in told["left_out"]}
    assert {name: reason for name, reason in reasons.items() if reason != "rule"} == left_out
    assert {*reasons, *candidates} >= {"p/dear", "p/cheap", "p/other", "t/cheap"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["none"], "model_not_found"), (["other", "--key", "{key}"], "model_access_denied")],
)
def test_a_refusal_is_told_as_the_client_gets_it(run: Run, arguments: list[str], code: str) -> None:
    """With its status and code; nobody is a candidate."""
    told = run.explained(*(word.format(**run.names) for word in arguments))
    assert (told["refusal"]["code"], told["candidates"]) == (code, [])
    words = {one["reason"].partition(":")[0] for one in told["left_out"]}
    assert words == ({"rule"} if code == "model_not_found" else {"access", "rule"})


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["m", "--key", "nobody"], "There is no key `nobody`"),
        (["m", "--service", "chats"], "--service: 'chats' is unknown (use chat, "),
        ([], "Name a model: "),
        (["m", "--tokens", "-5"], "--tokens: no input has fewer than 0 tokens"),
        (["m", "--max-tokens", "0"], "--max-tokens: an answer has at least 1 token"),
        (["m", "--header", "x"], "--header: write name=value"),
        (["m", "--body", "/nowhere.json"], "--body: /nowhere.json cannot be read"),
        (["m", "--body", "{config}"], "--body: a client would get 400: The body could not be parsed"),
    ],
)
def test_mistakes_say_what_to_do(run: Run, arguments: list[str], advice: str) -> None:
    """Exit code 1 and a sentence, no traceback."""
    words = [word.format(config=run.config) for word in arguments]
    code, out, err = run(*words, "--config", str(run.config))
    assert (code, out) == (1, "")
    assert err.startswith(advice)
    assert not run.state.exists()


def test_limits_are_looked_at_and_stay_as_they_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a store: a key's full limit refuses, a full deployment is left out, however often one asks."""
    monkeypatch.setenv("REDIS_URL", store_url())
    free = [run.explained("pair", "--key", run.names["key"]) for _ in range(3)]
    assert [(told["refusal"], deployments(told)) for told in free] == [(None, ["p/narrow", "p/other"])] * 3
    assert not any("limits" in note for note in free[0]["notes"])
    asyncio.run(_use_up(run))
    told = run.explained("pair")
    assert deployments(told) == ["p/other"]
    assert told["left_out"][0]["reason"].startswith("limit: full for ")
    told = run.explained("pair", "--key", run.names["key"])
    assert {one["reason"] for one in told["left_out"][:2]} == {"limit: the caller's own binds"}
    refused = told["refusal"]
    assert (refused["status"], refused["code"]) == (429, "rate_limit_exceeded")
    assert 80_000 < refused["retry_after"] <= 86_400


async def _use_up(run: Run) -> None:
    """One call of the key, at the deployment that takes one a day."""
    snapshot = load(run.config, {}).snapshot
    redis = connect(store_url(), RedisOptions(timeout=10.0))
    gate = Gate(redis, SilentObserver(), time.monotonic)
    policy = Policy(snapshot, one_shard, unique("worker"))
    principal = snapshot.virtual_keys[run.names["key"]].principal
    narrow = snapshot.deployments[f"{run.names['p']}/narrow"]
    for sets in (policy.of_caller(principal, "pair", user=False), policy.of_deployment(narrow)):
        await gate.reserve(Reservation(unique("call")), sets, Demand())
    await gate.close()
    await redis.close()


SICK = """
version: 1
providers: {sick: {type: mock, models: [mock-fault/status-500]}, well: {type: mock, models: [m]}}
routes:
  - name: pair
    match: {model: pair}
    targets: [{provider: sick, model: mock-fault/status-500}, {provider: well, model: m}]
"""


def test_what_workers_took_out_of_rotation_is_left_out(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A breaker that opened in a worker is known to who asks elsewhere, and stays as it is."""
    run.config.write_text(SICK)
    assert [one["deployment"] for one in run.explained("pair")["candidates"]] == SICK_FIRST
    body = json.dumps({"model": "pair", "messages": [{"role": "user", "content": "hi"}]}).encode()
    with GatewayProcess(SICK, tmp_path / "one", workers=2) as gateway:
        monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "one" / "state"))
        assert [one["deployment"] for one in run.explained("pair")["candidates"]] == SICK_FIRST
        call = urllib.request.Request(f"{gateway.api}/chat/completions", body, {"content-type": "application/json"})

        def told() -> Any:
            with urllib.request.urlopen(call, timeout=10) as answer:
                assert answer.headers["x-gateway-provider"] == "well"
            found = run.explained("pair")
            return found if [one["deployment"] for one in found["candidates"]] == ["well/m"] else None

        found = eventually(told, "an open breaker", 20)
        assert found["left_out"][0]["deployment"] == SICK_FIRST[0]
        assert re.match(r"breaker: out for \d+\.\d s more", found["left_out"][0]["reason"])
        assert not any("rotation" in note for note in found["notes"])


SICK_FIRST = ["sick/mock-fault/status-500", "well/m"]


def test_keys_made_at_run_time_are_known_with_their_groups(run: Run) -> None:
    """`--groups` of `gateway keys create` is what `match.group` asks for."""
    name = unique("made")
    made = ("--name", name, "--groups", "x, staff", "--config", str(run.config), "--json")
    code, out, _ = run(*made, command="keys create")
    assert (code, json.loads(out)["metadata"]) == (0, {"groups": "x,staff"})
    assert run.explained("m", "--key", name)["route"] == "staff"
    assert run(name, command="keys revoke")[0] == 0
    code, _, err = run("m", "--key", name, "--config", str(run.config))
    assert (code, "is revoked" in err) == (1, True)


def test_what_is_asked_by_another_api(run: Run) -> None:
    """A candidate that has not the client's API is one all the same, and a note says how it is asked."""
    run.config.write_text("""
version: 1
providers:
  claude: {type: anthropic, api_key: k, models: [one]}
  both: {type: openai, api_key: k, models: {one: {}, pro: {api: responses}}}
routes: [{name: r, match: {model: m}, targets: [{provider: both, model: one}, {provider: claude, model: one}]}]
""")
    told = run.explained("m", "--service", "responses")
    assert deployments(told) == ["both/one", "claude/one"]
    assert "asked by another API, chat, and translated: claude/one" in told["notes"]
    assert "asked by another API, responses, and translated: both/pro" in run.explained("both/pro")["notes"]
    assert not any("translated" in note for note in run.explained("m")["notes"])
