"""Quotas and budgets as applications and operators see them, on a real `gateway serve` before a provider that bills."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.app import Client, Reply, chat_body
from tests.support.gateway import GatewayProcess, Mock, eventually, get, mock_process
from tests.support.steps import json_reply
from tests.support.upstream import ScriptedUpstream

HOOK_TOKEN = "hook-canary-0f2e51"
KEYS: dict[str, str] = {
    "free": "",
    "two": "quotas: [{period: day, requests: 2, zone: Europe/Berlin}]",
    "once": "quotas: [{period: total, requests: 1}]",
    "throttled": "quotas: [{period: day, requests: 1, action_on_exceed: throttle, "
    "throttle_to: {rate: 1/day, burst: 1}}]",
    "watched": "quotas: [{period: day, requests: 2, soft: 0.5, action_on_exceed: alert}, {period: month, tokens: 10, "
    "action_on_exceed: alert}]",
    "lesser": "quotas: [{period: day, requests: 1, action_on_exceed: {downgrade: lab/small}}]",
    "budget": "quotas: [{period: month, cost: 0.05}]",
    "modern": "quotas: [{period: month, cost: 0.05}]",
    "explicit": "quotas: [{period: month, cost: 0.05}]",
    "several": "quotas: [{period: month, cost: 1, soft: 0.9}, {period: month, tokens: 4000}]",
    "lenient": "quotas: [{period: month, cost: 0.05, unpriced: allow}]",
    "member": "team: tenants",
}
CONFIG = """
version: 1
providers:
  lab:
    type: openai_compatible
    base_url: {mock}
    retry_attempts: 0
    models:
      small: {{price: {{input: 1, output: 2}}, max_output_tokens: 1000}}
      large: {{price: {{input: 10, output: 100}}, max_output_tokens: 1000}}
      mystery: {{}}
      mock-fault/status-500: {{price: {{input: 1, output: 2}}}}
      mock-fault/slow-first-byte-5s: {{price: {{input: 1, output: 2}}}}
      mock-fault/pace-20ms+tokens-2000: {{price: {{input: 1, output: 2}}}}
    timeout: {{first_byte: 0.7}}
  modern: {{type: openai, base_url: {mock}, api_key: k, models: {{new: {{price: {{input: 1, output: 100}}}}}}}}
  spent: {{type: openai_compatible, base_url: {mock}, models: {{x: {{price: {{input: 1, output: 2}}}}}}}}
  broke:
    type: openai_compatible
    base_url: {mock}
    models: {{mock-fault/tokens-300: {{price: {{input: 1, output: 100}}}}, y: {{}}}}
routes:
  - {{name: rescued, match: {{model: rescued}}, targets: [
      {{provider: lab, model: mock-fault/status-500}}, {{provider: lab, model: mock-fault/slow-first-byte-5s}},
      {{provider: lab, model: small}}]}}
  - {{name: spent, match: {{model: spent}}, targets: [{{provider: spent, model: x}}, {{provider: lab, model: small}}]}}
teams: [{{name: tenants}}]
keys:
{keys}
limits:
  - {{name: each-user, scope: user, quotas: [{{period: day, requests: 1}}]}}
  - {{name: spent-bill, scope: provider, only: spent, quotas: [{{period: month, requests: 1}}]}}
  - {{name: broke-bill, scope: provider, only: broke, quotas: [{{period: month, cost: 0.1}}]}}
alerts:
  webhook: {hook}/alerts
  headers: {{authorization: Bearer {token}}}
"""
_ids = count(1)


@dataclass(slots=True)
class Lab:
    """A gateway, the provider behind it, and the operator's webhook."""

    gateway: GatewayProcess
    mock: Mock
    hook: ScriptedUpstream

    def secret(self, name: str) -> str:
        return f"test-secret-of-{name}-0123456789012345"

    def post(self, name: str, *headers: tuple[str, str], path: str = "/chat/completions", **body: Any) -> Reply:
        """One call with this key."""
        with self.client() as client:
            key = ("authorization", f"Bearer {self.secret(name)}")
            client.post(f"/v1{path}", body, [key, *headers])
            return client.reply()

    def chat(self, name: str, model: str = "small", *headers: tuple[str, str], **fields: Any) -> Reply:
        return self.post(name, *headers, **chat_body(model, **fields))

    def client(self) -> Client:
        return Client(int(self.gateway.base_url.rpartition(":")[2]))

    def command(self, *words: str) -> str:
        """What an operator's command prints."""
        env = {**os.environ, "GATEWAY_DATA_DIR": str(self.gateway.directory / "state")}
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, request_id: str, attempts: int) -> list[dict[str, Any]]:
        """The ledger's rows of a request, once there are so many, by attempt."""
        file = self.gateway.directory / "state" / "gateway.db"

        def found() -> list[dict[str, Any]]:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as books:
                books.row_factory = sqlite3.Row
                rows = books.execute("SELECT * FROM usage WHERE request_id = ?", (request_id,)).fetchall()
            return [dict(row) for row in rows] if len(rows) >= attempts else []

        rows: list[dict[str, Any]] = eventually(found, f"{attempts} rows of {request_id}", 20)
        assert len(rows) == attempts
        return sorted(rows, key=lambda row: (row["call_id"], row["attempt"]))

    def shown(self, request_id: str) -> list[dict[str, Any]]:
        """The same as `gateway usage` shows them."""
        rows = map(json.loads, self.command("usage", "--rows", "--json", "--limit", "50").splitlines())
        return sorted((row for row in rows if row["request_id"] == request_id), key=lambda row: row["attempt"])

    def log(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The application log's lines of this kind."""
        lines = [json.loads(line) for line in self.gateway.stderr().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event and fields.items() <= line.items()]

    def alerts(self, **fields: Any) -> list[dict[str, Any]]:
        """What the webhook got."""
        bodies = [json.loads(got.body) for got in list(self.hook.received)]
        return [body for body in bodies if fields.items() <= body.items()]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory: Path = tmp_path_factory.mktemp("quotas")
    with mock_process() as mock, ScriptedUpstream(default=json_reply({})) as hook:
        keys = "\n".join(
            f"  - {{name: {name}, secret: test-secret-of-{name}-0123456789012345{', ' if more else ''}{more}}}"
            for name, more in KEYS.items()
        )
        config = CONFIG.format(mock=mock.url, hook=hook.base_url, keys=keys, token=HOOK_TOKEN)
        with GatewayProcess(config, directory, workers=2) as gateway:
            yield Lab(gateway, mock, hook)


def request_id() -> str:
    return f"quota-test-{next(_ids)}"


def spent(reply: Reply, *words: str) -> None:
    """`insufficient_quota`: not to be tried again."""
    assert reply.status == 429, reply.body
    assert (reply.error["type"], reply.error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert reply.header("x-should-retry") == "false"
    assert reply.header("retry-after") is None
    for word in words:
        assert word in reply.error["message"]


def seen(lab: Lab, model: str) -> list[dict[str, Any]]:
    """The bodies that the provider got for this model, so far."""
    bodies = [json.loads(one.body) for one in lab.mock.seen()]
    return [body for body in bodies if body["model"] == model]


# ---- reject


def test_a_quota_is_used_up(lab: Lab) -> None:
    """Exactly so many calls, from all workers together; then 429 that says when it is renewed, in the quota's zone."""
    assert [lab.chat("two").status for _ in range(2)] == [200, 200]
    for _ in range(3):
        reply = lab.chat("two")
        spent(reply, "This key's quota of 2 requests a day", "It is renewed at", "+0")
        assert reply.header("x-gateway-attempts") == "0"


def test_the_sdk_does_not_try_again(lab: Lab) -> None:
    """openai.RateLimitError with the code `insufficient_quota` after one request, whatever `max_retries` says."""
    assert lab.chat("once").status == 200
    with openai.OpenAI(base_url=lab.gateway.api, api_key=lab.secret("once"), max_retries=5) as client:
        with pytest.raises(openai.RateLimitError) as raised:
            client.chat.completions.create(model="small", messages=[])
        assert raised.value.code == "insufficient_quota"
        assert "in total" in raised.value.message
        assert "renewed" not in raised.value.message
        name = raised.value.request_id
    assert len(lab.gateway.logged(request_id=name)) == 1
    assert len([line for line in lab.gateway.access_log() if line.get("key") == "once"]) == 2


def test_each_user_has_one(lab: Lab) -> None:
    """A rule for users counts each of a tenant by itself, and no call that names none."""
    assert lab.chat("free", user="ann@example.com").status == 200
    spent(lab.chat("free", user="ann@example.com"), "This user's quota")
    assert lab.chat("free", user="bob@example.com").status == 200
    assert lab.chat("member", user="ann@example.com").status == 200
    assert [lab.chat("free").status for _ in range(3)] == [200] * 3
    found = eventually(lambda: lab.log("quota_exceeded", scope="user"), "the log's line")
    assert all("owner" not in line for line in found)
    told = eventually(lambda: lab.alerts(scope="user"), "the webhook's call")
    assert {alert["owner"] for alert in told} == {None}
    everything = lab.gateway.stderr() + repr([got.body for got in lab.hook.received])
    assert "ann@example.com" not in everything


# ---- throttle, alert, downgrade


def test_throttle(lab: Lab) -> None:
    """What exceeds the quota goes on at the lower rate, and above that gets a wait."""
    assert [lab.chat("throttled").status for _ in range(2)] == [200, 200]
    reply = lab.chat("throttled")
    assert reply.status == 429
    assert reply.error["code"] == "rate_limit_exceeded"
    assert "is used up; until it is renewed 1 requests per day are served" in reply.error["message"]
    assert reply.header("x-should-retry") == "true"
    assert int(reply.header("retry-after") or 0) > 0


def test_alert(lab: Lab) -> None:
    """Calls go on; each says which quotas are how far; operators hear once of each level: log, metric, webhook."""
    replies = [lab.chat("watched") for _ in range(4)]
    assert [reply.status for reply in replies] == [200] * 4
    warnings = [[value for name, value in reply.headers if name == "x-gateway-quota-warning"] for reply in replies]
    assert [found[0] for found in warnings] == [
        f"key requests per day: {share} % used" for share in (50, 100, 150, 200)
    ]
    assert warnings[3][1].startswith("key tokens per month: ")
    assert len(warnings[3]) == 2

    def told() -> bool:
        return len(lab.alerts(owner="watched")) >= 3

    eventually(told, "three alerts")
    found = sorted((alert["kind"], alert["event"], alert["period"]) for alert in lab.alerts(owner="watched"))
    assert found == [
        ("requests", "quota_exceeded", "day"),
        ("requests", "quota_soft_threshold", "day"),
        ("tokens", "quota_exceeded", "month"),
    ]
    [soft] = lab.alerts(owner="watched", event="quota_soft_threshold")
    assert (soft["scope"], soft["quota"], soft["amount"], soft["used"], soft["share"]) == ("key", "watched", 2, 1, 0.5)
    assert soft["action"] == "alert"
    assert {got.header("authorization") for got in lab.hook.received} == {f"Bearer {HOOK_TOKEN}"}
    eventually(lambda: len(lab.log("quota_soft_threshold", owner="watched")) == 1, "the log's line")
    [line] = eventually(lambda: lab.log("quota_exceeded", owner="watched", kind="requests"), "the other line")
    assert line["share"] == 1.0
    eventually(lambda: lab.gateway.metric("gateway_quota_alerts_total", scope="key", level="soft") >= 1, "the metric")
    assert HOOK_TOKEN not in lab.gateway.stderr()


def test_downgrade(lab: Lab) -> None:
    """The client reads the model it asked for; another one serves, and is charged for."""
    replies = [lab.chat("lesser", "large") for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3
    assert [reply.json["model"] for reply in replies] == ["large"] * 3
    assert [reply.header("x-gateway-model") for reply in replies] == ["large", "small", "small"]
    [row] = lab.rows(replies[1].header("x-request-id") or "", 1)
    assert (row["requested_model"], row["model"], row["deployment"]) == ("large", "small", "lab/small")


# ---- hard budgets


@pytest.mark.parametrize(
    ("key", "model", "name"), [("budget", "large", "max_tokens"), ("modern", "new", "max_completion_tokens")]
)
def test_a_budget_is_never_exceeded(lab: Lab, key: str, model: str, name: str) -> None:
    """Calls that set no limit get one from us, within what is left; when too little is left they are refused. The
    provider's bill stays within the budget."""
    replies: list[Reply] = []
    while len(replies) < 400:
        reply = lab.chat(key, f"{'modern/' if key == 'modern' else ''}{model}")
        if reply.status == 429 and reply.error["code"] == "rate_limit_exceeded":
            # The call before is not settled yet: another worker may have had it.
            time.sleep(0.05)
            continue
        replies.append(reply)
        if reply.status != 200:
            break
    spent(replies[-1], "This key's quota of $0.05 a month")
    assert len(replies) > 3
    caps = [body[name] for body in seen(lab, model) if body.get(name) is not None]
    assert len(caps) >= len(replies) - 1
    assert all(0 < cap <= 500 for cap in caps)
    prices = {"large": (10, 100), "new": (1, 100)}[model]
    rows = lab.mock.rows(model=model)
    assert sum(row["input_tokens"] * prices[0] + row["output_tokens"] * prices[1] for row in rows) <= 50_000


def test_what_the_caller_asks_for_is_not_reduced(lab: Lab) -> None:
    """An explicit limit that the budget cannot pay for is refused though nothing is spent; one that it can is kept."""
    spent(lab.chat("explicit", "large", max_tokens=100_000))
    spent(lab.chat("explicit", "large", max_tokens=300, n=2))
    assert lab.chat("explicit", "large", max_tokens=300).status == 200
    spent(lab.post("explicit", model="large", path="/completions", prompt=["a", "b"], max_tokens=300))
    spent(lab.post("explicit", model="large", path="/completions", prompt="a", best_of=2, max_tokens=300))
    assert seen(lab, "large")[-1]["max_tokens"] == 300
    # Far from its end: a call that is too large is no quota that is used up.
    assert lab.alerts(owner="explicit") == []


def test_every_service_is_cut_off(lab: Lab) -> None:
    """Chat, completions and responses; the answer ends there, and says so."""
    long = "lab/mock-fault/pace-20ms+tokens-2000"
    body = lab.post("several", model=long, path="/responses", input="x").json
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    cap = seen(lab, long.removeprefix("lab/"))[-1]["max_output_tokens"]
    assert body["usage"]["output_tokens"] == cap < 1000
    reply = lab.post("several", model=long, path="/completions", prompt="x", max_tokens=None)
    assert reply.json["choices"][0]["finish_reason"] == "length"
    cap = seen(lab, long.removeprefix("lab/"))[-1]["max_tokens"]
    assert reply.json["usage"]["completion_tokens"] == cap < 2000


def test_an_unpriced_model_is_not_free(lab: Lab) -> None:
    """400 under a budget; with `unpriced: allow` it is served, counted, and its cost in the ledger is unknown."""
    reply = lab.chat("budget", "mystery")
    assert reply.status == 400
    assert (reply.error["code"], reply.error["param"]) == ("unpriced_model", "model")
    assert reply.header("x-should-retry") == "false"
    before = lab.gateway.metric("gateway_unpriced_requests_total")
    reply = lab.chat("lenient", "mystery")
    assert reply.status == 200
    eventually(lambda: lab.gateway.metric("gateway_unpriced_requests_total") == before + 1, "it is counted")
    [row] = lab.rows(reply.header("x-request-id") or "", 1)
    assert row["cost_nano_usd"] is None
    assert row["output_tokens"] > 0
    assert lab.chat("free", "mystery").status == 200


# ---- providers


def test_a_provider_whose_quota_is_used_up(lab: Lab) -> None:
    """It is passed over like one that is full; alone, it is `insufficient_quota` without a word of the amount."""
    replies = [lab.chat("free", "spent") for _ in range(3)]
    assert [reply.header("x-gateway-provider") for reply in replies] == ["spent", "lab", "lab"]
    assert {reply.header("x-gateway-attempts") for reply in replies} == {"1"}
    reply = lab.chat("free", "spent/x")
    spent(reply, "Every deployment of this model")
    assert "request" not in reply.error["message"]


def test_a_providers_budget_is_hard_too(lab: Lab) -> None:
    """Callers without a budget are cut off by the provider's, and its bill stays within it; without a price it is a
    400."""
    replies: list[Reply] = []
    while len(replies) < 400:
        replies.append(lab.chat("free", "broke/mock-fault/tokens-300"))
        if replies[-1].status != 200:
            break
    spent(replies[-1])
    rows = lab.mock.rows(model="mock-fault/tokens-300")
    caps = [body["max_tokens"] for body in seen(lab, "mock-fault/tokens-300") if "max_tokens" in body]
    assert len(caps) == len(replies) - 1 > 1
    assert sum(row["input_tokens"] + row["output_tokens"] * 100 for row in rows) <= 100_000
    assert lab.chat("free", "broke/y").error["code"] == "unpriced_model"


# ---- the ledger


def test_one_row_per_attempt(lab: Lab) -> None:
    """After two failovers: what each attempt came to, as the provider's own bill has it."""
    name = request_id()
    reply = lab.chat("free", "rescued", ("x-request-id", name), user="carol")
    assert (reply.status, reply.header("x-gateway-attempts")) == (200, "3")
    lab.rows(name, 3)
    rows = lab.shown(name)
    assert [(row["attempt"], row["state"], row["reason"]) for row in rows] == [
        (1, "released", "5xx"),
        (2, "released", "ttfb_timeout"),
        (3, "settled", "ok"),
    ]
    assert [row["status"] for row in rows] == [502, 504, 200]
    assert [row["model"] for row in rows] == ["mock-fault/status-500", "mock-fault/slow-first-byte-5s", "small"]
    assert len({row["call_id"] for row in rows}) == 1
    # The first cost nothing; of the second nobody knows: the gateway's own cost, not the key's.
    assert rows[0]["cost_nano_usd"] == 0
    assert rows[1]["token_source"] == "partial"
    assert rows[1]["cost_nano_usd"] > 0
    [billed] = [row for row in lab.mock.rows() if row["call_id"] == f"{rows[2]['call_id']}.3"]
    assert (rows[2]["input_tokens"], rows[2]["output_tokens"]) == (billed["input_tokens"], billed["output_tokens"])
    assert rows[2]["cost_nano_usd"] == 1000 * billed["input_tokens"] + 2000 * billed["output_tokens"]
    assert rows[2]["token_source"] == "provider"
    assert {row["route"] for row in rows} == {"rescued"}
    assert {row["key"] for row in rows} == {"free"}
    assert all(row["user_hash"] and "carol" not in row["user_hash"] for row in rows)


def test_a_repeated_request_id_is_no_free_call(lab: Lab) -> None:
    """A client chooses `x-request-id`; rows and charges go by ids of ours."""
    name = request_id()
    for _ in range(2):
        assert lab.chat("free", "small", ("x-request-id", name)).status == 200
    rows = lab.rows(name, 2)
    assert len({row["call_id"] for row in rows}) == 2
    assert all(row["cost_nano_usd"] > 0 for row in rows)


def test_a_client_that_left_is_in_the_ledger(lab: Lab) -> None:
    """What was streamed until then is charged, not more and not less than the provider's bill to within what was on
    the way."""
    name = request_id()
    model = "mock-fault/pace-20ms+tokens-2000"
    key = ("authorization", f"Bearer {lab.secret('free')}")
    with lab.client() as client:
        body = chat_body(f"lab/{model}", stream=True, max_tokens=1500)
        client.post("/v1/chat/completions", body, [key, ("x-request-id", name)])
        head = client.head()
        for _ in range(12):
            client.chunk(head)
    [row] = lab.rows(name, 1)
    assert (row["state"], row["reason"], row["token_source"]) == ("settled", "client_disconnected", "partial")
    billed = eventually(
        lambda: [one for one in lab.mock.rows() if one["call_id"] == f"{row['call_id']}.1"], "the provider's bill"
    )[0]
    assert billed["outcome"] == "cancelled"
    assert 0 < row["output_tokens"] <= billed["output_tokens"]


# ---- run-time keys


def test_a_revoked_key_ends_its_streams(lab: Lab) -> None:
    """A stream that runs ends in an error frame and `[DONE]`; later requests are 401 at every worker."""
    secret = lab.command("keys", "create", "--name", "runtime").strip()
    headers = {"authorization": f"Bearer {secret}"}
    eventually(lambda: get(f"{lab.gateway.api}/models", headers).status == 200, "the key is known")
    with lab.client() as client:
        body = chat_body("lab/mock-fault/pace-20ms+tokens-2000", stream=True)
        client.post("/v1/chat/completions", body, [*headers.items()])
        reply = client.head()
        assert reply.status == 200
        client.read_until(reply, b"data: ")
        lab.command("keys", "revoke", "runtime")
        client.rest(reply)
    assert reply.complete
    *_, error, done = reply.events
    assert done == "[DONE]"
    assert error["error"]["code"] == "invalid_api_key"
    assert "revoked" in error["error"]["message"]
    eventually(lambda: {get(f"{lab.gateway.api}/models", headers).status for _ in range(8)} == {401}, "401 everywhere")
