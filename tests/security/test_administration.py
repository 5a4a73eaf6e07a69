"""The control plane from outside, as a real gateway serves it: who gets in, by which name, and what is told of it."""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.sessions import COOKIE
from gateway.http.private import LISTENER, NETWORK, PEER
from tests.security.carriers import CARRIERS, INJECTIONS, carried
from tests.support.gateway import GatewayProcess, eventually
from tests.support.scripted_hook import Hook, hook_server

pytestmark = pytest.mark.slow
SIGNING = "signing-secret-0123456789-0123456789"
FILE_KEY = "key-of-the-file-canary-0123456789abcdef"
FILE = """version: 1
providers: {{mock: {{type: mock, models: [mock-small]}}}}
keys: [{{name: filed, secret: {key}}}]
alerts: {{webhook: '{hook}', secret: {signing}}}
"""


PROXY = "127.0.0.2"
HOSTS = ("h/?", "h/#", "h/#@x", "127.0.0.1/api?", "evil.example", "localhost.evil.example", "")
PATHS = (
    *("/api/admin/../admin/keys", "//api/admin/keys", "/api/admin//keys"),
    *("/api/admin/keys/..", "/API/admin/keys"),
)


class Site:
    """A gateway with its control plane."""

    def __init__(self, gateway: GatewayProcess, hook: Hook, text: str) -> None:
        self.gateway = gateway
        self.hook = hook
        self.text = text
        self.key = (gateway.directory / "state" / "admin.key").read_text().strip()
        self.port = int(gateway.base_url.rpartition(":")[2])

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        source: str = "127.0.0.1",
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON; only these headers are sent, besides those of the body. `source`: who connects."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(source, 0))
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            data = b"" if body is None else json.dumps(body).encode()
            given = {"host": f"127.0.0.1:{self.port}", **(headers or {})}
            if body is not None:
                given |= {"content-type": "application/json", "content-length": str(len(data))}
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(data or None)
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text[:1] == b"{" else {}
        finally:
            connection.close()

    def admin(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """With the admin key."""
        return self.ask(method, f"/api/admin{path}", body, {"x-api-key": self.key, **headers})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        hook = stack.enter_context(hook_server())
        text = FILE.format(key=FILE_KEY, hook=hook.url, signing=SIGNING)
        env = {"GATEWAY_ADMIN_API": "true", "GATEWAY_TRUSTED_PROXIES": f"{PROXY}/32"}
        gateway = stack.enter_context(GatewayProcess(text, tmp_path_factory.mktemp("site"), env=env))
        found = Site(gateway, hook, text)
        eventually(lambda: found.admin("GET", "/keys")[0] == 200, "the admin API", 60)
        yield found


def test_the_admin_key_that_was_made_stands_in_its_file_alone(site: Site) -> None:
    """Standard error is a log where it is no terminal: it names the file."""
    said = site.gateway.stderr()
    assert str(site.gateway.directory / "state" / "admin.key") in said
    assert site.key not in said


@pytest.mark.parametrize("carrier", CARRIERS)
def test_each_key_opens_its_own_side(site: Site, carrier: str) -> None:
    """A virtual key calls models and administers nothing; the admin key and tokens administer and call nothing."""
    chat = {"model": "mock-small", "messages": [{"role": "user", "content": "hi"}]}
    made = site.admin("POST", "/tokens", {"name": f"t-{carrier}", "role": "admin"})[1]["token"]
    virtual = site.admin("POST", "/keys", {"name": f"k-{carrier}"})[1]["secret"]
    for text in (FILE_KEY, virtual):
        header = dict([carried(carrier, text)])
        eventually(partial(_served, site, chat, header), "the key")
        for prefix in ("/api/admin", "/api"):
            status, body = site.ask("GET", f"{prefix}/keys", headers=header)
            assert (status, body["error"]["code"]) == (401, "unauthenticated")
    for text in (site.key, made):
        header = dict([carried(carrier, text)])
        for prefix in ("/api/admin", "/api"):
            assert site.ask("GET", f"{prefix}/keys", headers=header)[0] == 200
        status, body = site.ask("POST", "/v1/chat/completions", chat, header)
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")


def _served(site: Site, body: Any, header: dict[str, str]) -> bool:
    return site.ask("POST", "/v1/chat/completions", body, header)[0] == 200


def test_no_header_of_a_client_is_taken_for_a_workers(site: Site) -> None:
    """Where a request comes from, and where the gateway listens, is what the worker's connection says."""
    forged = {LISTENER.decode(): NETWORK.decode(), PEER.decode(): "203.0.113.9", "x-forwarded-for": "203.0.113.9"}
    status, body = site.admin("GET", "/keys", host="evil.example", **forged)
    assert (status, body["error"]["code"]) == (403, "forbidden_host")
    assert site.admin("POST", "/keys", {"name": "forged"}, **forged)[0] == 201
    entries = site.admin("GET", "/audit?resource_id=forged")[1]["items"]
    assert [entry["address"] for entry in entries] == ["127.0.0.1"]


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of Linux machines alone")
def test_clients_behind_a_proxy_are_told_apart(site: Site) -> None:
    """The audit log names the proxy's client, not what the client invents; who guesses passwords there is slowed down,
    and its neighbours are not."""

    def through(client: str, method: str, path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        return site.ask(method, path, body, {"x-forwarded-for": f"6.6.6.6, {client}", **headers}, source=PROXY)

    one, other = "203.0.113.9", "203.0.113.10"
    assert through(one, "POST", "/api/admin/keys", {"name": "proxied"}, **{"x-api-key": site.key})[0] == 201
    entries = site.admin("GET", "/audit?resource_id=proxied")[1]["items"]
    assert [entry["address"] for entry in entries] == [one]
    login = {"name": "nobody", "password": "not the password of anybody"}
    statuses = [through(one, "POST", "/api/admin/session", login)[0] for _ in range(8)]
    assert (statuses[0], statuses[-1]) == (401, 429)
    assert through(other, "POST", "/api/admin/session", login)[0] == 401


@pytest.mark.parametrize("host", HOSTS)
def test_host_opens_no_route_of_the_control_plane(site: Site, host: str) -> None:
    """CVE-2026-48710, CVE-2026-49468, and DNS rebinding: whatever Host says, with and without the admin key."""
    for path in ("/api/admin/keys", "/api/keys", "/api/admin/openapi.json", "/api/admin/session"):
        assert site.ask("GET", path, headers={"host": host})[0] in (400, 401, 403)
        assert site.ask("GET", path, headers={"host": host, "x-api-key": site.key})[0] in (400, 403)


@pytest.mark.parametrize("path", PATHS)
def test_no_spelling_of_a_path_is_exempt(site: Site, path: str) -> None:
    """What is not exactly a route is none, and asks for a credential or is not there."""
    assert site.ask("GET", path)[0] in (400, 401, 404)


def test_no_text_is_a_credential_or_a_filter(site: Site) -> None:
    """CVE-2026-42208, CVE-2024-5225: payloads of injections are wrong credentials, names of nobody, filters that match
    nothing; every table is there afterwards."""
    before = site.admin("GET", "/keys")[1]["total"]
    for text in INJECTIONS:
        encoded = base64.b16encode(text.encode()).decode()
        quoted = "".join(f"%{encoded[n : n + 2]}" for n in range(0, len(encoded), 2))
        for carrier in CARRIERS:
            assert site.ask("GET", "/api/keys", headers=dict([carried(carrier, text)]))[0] in (401, 429)
            assert site.ask("GET", "/api/keys", headers=dict([carried(carrier, f"gwt-{text}")]))[0] in (401, 429)
        cookie = {"cookie": f"{COOKIE}={quoted}", "sec-fetch-site": "same-origin"}
        assert site.ask("GET", "/api/keys", headers=cookie)[0] in (401, 429)
        for word in ("keys", "admins", "incidents", "providers", "models", "routing-rules"):
            assert site.admin("GET", f"/{word}/{quoted}")[0] in (404, 405, 422), (word, text)
        for query in ("/audit?actor=", "/audit?resource_id=", "/keys?team=", "/keys?search=", "/incidents?provider="):
            status, body = site.admin("GET", query + quoted)
            assert status in (200, 422), (query, text)
            assert body.get("items", []) == [], (query, text)
        for query in ("/keys?sort=", "/keys?cursor=", "/audit?cursor=", "/audit?since=", "/usage?by=", "/keys?limit="):
            assert 400 <= site.admin("GET", query + quoted)[0] < 500, (query, text)
        for body in ({"name": text}, {"name": "x", "services": [text]}, {"name": "x", "expires_at": text}):
            assert 400 <= site.admin("POST", "/keys", body)[0] < 500, body
        assert 400 <= site.admin("POST", "/admins", {"name": text, "role": text})[0] < 500
        assert site.ask("POST", "/api/session", {"name": text, "password": text})[0] in (401, 429)
    assert site.admin("GET", "/keys")[1]["total"] == before


def test_no_number_is_credit(site: Site) -> None:
    """CVE-2026-71479, CVE-2026-64865: amounts below nothing and beyond reason are refused, on every way in."""
    for number in (-1, -(2**63), 2**63, 10**30, -0.5, 1e308, "-1", "NaN", "1e400"):
        for body in (
            {"name": "n", "quotas": [{"period": "month", "cost": number}]},
            {"name": "n", "quotas": [{"period": "month", "tokens": number}]},
            {"name": "n", "limits": {"concurrency": number}},
            {"name": "n", "limits": {"requests": f"{number}/min"}},
        ):
            assert 400 <= site.admin("POST", "/keys", body)[0] < 500, body
    for query in ("/keys?limit=-1", "/keys?limit=9223372036854775808", f"/audit?limit={10**30}", "/audit?limit=0"):
        assert site.admin("GET", query)[0] == 422


def test_no_secret_is_told(site: Site) -> None:
    """Credentials of callers stand in no log, metric, error or audit entry, whatever went wrong with them."""
    canary, password = "gwt-canary-2b7f-0123456789abcdefghij", "password-canary-2b7f-0123"
    wrong = [dict([carried(carrier, canary)]) for carrier in CARRIERS]
    told = [str(site.ask("GET", "/api/admin/keys", headers=headers)) for headers in wrong]
    told.append(str(site.ask("POST", "/api/admin/session", {"name": "ada", "password": password})))
    told.append(str(site.admin("POST", "/admins", {"name": "ada", "password": password, "extra": canary})))
    told.append(str(site.admin("POST", "/admins", {"name": "ada", "password": password})))
    told.append(str(site.admin("PUT", "/session/password", {"current": password, "password": canary})))
    told.append(str(site.admin("GET", "/audit")))
    told.append(site.gateway.get("/metrics").body.decode() + site.gateway.get("/readyz").body.decode())
    told += [site.gateway.out.read_text(), site.gateway.stderr().replace(site.key, "", 1)]  # shown once, at the start
    state = site.gateway.directory / "state"
    told += [path.read_bytes().decode("latin-1") for path in state.glob("gateway.db*")]
    for text in (canary, password, site.key, SIGNING):
        assert [line[:200] for line in told if text in line] == [], text


def test_a_refused_configuration_is_told_and_signed(site: Site) -> None:
    """The webhook hears once that a file is refused and why, and that a good one is served again."""
    site.gateway.config.write_text(site.text + "unknown: 1\n")
    event, headers, body = eventually(lambda: site.hook.got("config_rejected"), "the webhook", 60)
    assert "gateway.yaml:5:1: " in event["reason"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(SIGNING.encode(), signed, "sha256").digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    site.gateway.config.write_text(site.text)
    assert eventually(lambda: site.hook.got("config_accepted"), "the webhook", 60)[0]["reason"] is None
    assert len([one for one in site.hook.events if one[0]["event"] == "config_rejected"]) == 1


def test_the_log_of_all_this_is_intact(site: Site, tmp_path: Path) -> None:
    """What this gateway wrote down verifies, with the key that it keeps; its end is anchored beside it."""
    state = site.gateway.directory / "state"
    site.admin("POST", "/tokens", {"name": "last"})
    eventually((state / "audit.anchor").exists, "an anchor", 60)
    command = [sys.executable, "-m", "gateway", "audit", "verify", "--json"]
    env = {"GATEWAY_DATA_DIR": str(state), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, check=False, timeout=60, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["keyed_from"] == 1
