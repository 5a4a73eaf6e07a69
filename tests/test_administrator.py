"""The control plane beside the data plane, as real processes: what is managed at run time is served, and nothing that
happens to the control plane costs a call."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from gateway.registry.resources.fragment import decode, encode
from gateway.registry.resources.operations import Create, Delete, Update
from gateway.registry.resources.records import Kind
from gateway.storage.embedded import running_url
from gateway.storage.sql.audit_tables import audit_log
from gateway.storage.sql.urls import FILE as DATABASE
from tests.support.control import KEY, Control, control
from tests.support.gateway import GatewayProcess, Got, Mock, eventually, mock_process
from tests.support.ledger import postgres_database
from tests.support.postgres import Postgres, server
from tests.support.store import own_store
from tests.test_supervisor import alive, children

FILE = "version: 1\nproviders: {mock: {type: mock}}\n"
SECRET = "sk-live-canary-0123456789abcdef"
pytestmark = pytest.mark.slow


class Site:
    """One gateway with its control plane, a provider, and whoever administers it."""

    def __init__(self, gateway: GatewayProcess, mock: Mock, env: dict[str, str]) -> None:
        self.gateway = gateway
        self.mock = mock
        self.env = {
            "DATABASE_URL": f"sqlite:///{gateway.directory / 'state' / DATABASE}",
            "REDIS_URL": running_url(gateway.directory / "state") or "",
            **env,
        }
        self.admin_key = (gateway.directory / "state" / "admin.key").read_text().strip()

    @property
    def administrator(self) -> int:
        """Its process."""
        return int(eventually(lambda: pid_of(self.gateway, "administrator"), "an administrator"))

    def admin(self, path: str) -> Got:
        """GET a path of the admin API."""
        return self.gateway.get(f"/api/admin{path}", {"authorization": f"Bearer {self.admin_key}"})

    def write(self, method: str, path: str, body: Any) -> Got:
        """A change over the admin API."""
        headers = {"authorization": f"Bearer {self.admin_key}"}
        return post(f"{self.gateway.base_url}/api/admin{path}", json.dumps(body).encode(), headers, method)

    def up(self) -> None:
        """Once the admin API answers."""
        eventually(lambda: self.admin("/keys").status == 200, "the admin API", 30)

    def chat(self, model: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        """One call: status, body, headers."""
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
        got = post(f"{self.gateway.base_url}/v1/chat/completions", body)
        return got.status, got.json(), got.headers

    async def served(self, plane: Control, revision: int) -> None:
        await plane.served(revision, 1)

    def remarks(self) -> list[str]:
        """What `/readyz` says."""
        reasons: list[str] = self.gateway.get("/readyz").json()["reasons"]
        return reasons


def pid_of(gateway: GatewayProcess, name: str) -> int | None:
    """The child of this name."""
    return next((pid for pid, found in children(gateway.pid).items() if found == name), None)


def post(url: str, body: bytes, headers: Mapping[str, str] = {}, method: str = "POST") -> Got:
    """A request with JSON, whatever the status of its answer."""
    request = urllib.request.Request(url, body, {"content-type": "application/json", **headers}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as reply:
            return Got(reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Got(refused.code, {k.lower(): v for k, v in refused.headers.items()}, refused.read())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    env = {"GATEWAY_ADMIN_API": "true", "GATEWAY_PRIVATE_NETWORKS": "127.0.0.1/32", "ENCRYPTION_KEY": KEY}
    with ExitStack() as stack:
        mock = stack.enter_context(mock_process())
        directory = tmp_path_factory.mktemp("site")
        gateway = stack.enter_context(GatewayProcess(FILE, directory, env=env))
        found = Site(gateway, mock, env)
        found.up()
        yield found


@pytest.fixture
async def plane(site: Site) -> AsyncIterator[Control]:
    async with control(site.gateway.config, site.env) as found:
        yield found
        state = await found.resources.state()
        for kind in (Kind.RULE, Kind.PROVIDER):
            for name in state.of(kind):
                await found.change(Delete(kind, name, cascade=True))
        await found.served(await found.resources.revision(), 1)


async def test_a_provider_of_the_database(site: Site, plane: Control) -> None:
    """What is created at run time is served like what the file says, with its credential; what is deleted is gone."""
    settings = {"type": "openai_compatible", "base_url": site.mock.url}
    made = await plane.change(
        Create(Kind.PROVIDER, "acme", settings, id="p"),
        Create(Kind.MODEL, "mock-small", {"parameters": {"temperature": 0.25}}, provider="p"),
        Create(Kind.CREDENTIAL, "main", provider="p", secret={"api_key": SECRET}),
        Create(
            Kind.RULE, "fast", {"match": {"model": "fast"}, "targets": [{"provider": "acme", "model": "mock-small"}]}
        ),
    )
    await site.served(plane, made.revision)
    for model in ("fast", "acme/mock-small"):
        status, _, headers = site.chat(model)
        assert (status, headers["x-gateway-provider"], headers["x-gateway-model"]) == (200, "acme", "mock-small")
    seen = site.mock.seen()[-1]
    assert json.loads(seen.body)["temperature"] == 0.25
    models = site.gateway.get("/v1/models").json()["data"]
    assert "acme/mock-small" in [model["id"] for model in models] or "mock-small" in [model["id"] for model in models]
    gone = await plane.change(Delete(Kind.PROVIDER, "p", cascade=True))
    await site.served(plane, gone.revision)
    assert site.chat("acme/mock-small")[0] == 404


async def test_secrets_stay_sealed(site: Site, plane: Control) -> None:
    """No secret stands in plain in the database, in what is laid out for the workers, or in a log."""
    await plane.provider("acme", site.mock.url, "mock-small", secret=SECRET)
    await site.served(plane, await plane.resources.revision())
    assert site.chat("acme/mock-small")[0] == 200
    state = site.gateway.directory / "state"
    files = [path for path in state.rglob("*") if path.is_file()] + [site.gateway.out, site.gateway.err]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    shelf = state / "registry" / "resources.json"
    assert (shelf.stat().st_mode & 0o777, (state / "admin.sock").stat().st_mode & 0o777) == (0o600, 0o600)


async def test_a_damaged_credential(site: Site, plane: Control) -> None:
    """One damaged credential parks its own provider: 503 `credentials_unavailable`; a rule falls over to the next."""
    await plane.provider("acme", site.mock.url, "mock-small", secret=SECRET)
    await plane.provider("other", site.mock.url, "mock-small", secret=SECRET)
    targets = [{"provider": name, "model": "mock-small"} for name in ("acme", "other")]
    await plane.change(Create(Kind.RULE, "both", {"match": {"model": "both"}, "targets": targets}))
    async with plane.database.begin() as connection:
        where = "WHERE provider_id = 'id-acme'"
        await connection.execute(text(f"UPDATE credentials SET secret = substr(secret, 1, 60) || 'AAAA' {where}"))
        await connection.execute(text("UPDATE config_state SET revision = revision + 1"))
    await site.served(plane, await plane.resources.revision())
    status, body, headers = site.chat("acme/mock-small")
    assert (status, body["error"]["code"], headers["x-should-retry"]) == (503, "credentials_unavailable", "true")
    status, _, headers = site.chat("both")
    assert (status, headers["x-gateway-provider"]) == (200, "other")


async def test_private_addresses(site: Site, plane: Control) -> None:
    """A provider of the database reaches the networks that the operator allows, and no other private address however
    it is spelt; nobody hears of the attempt."""
    port = site.mock.url.rpartition(":")[2].partition("/")[0]
    await plane.provider("allowed", f"http://127.1:{port}/v1", "mock-small")
    await plane.provider("elsewhere", f"http://127.0.2:{port}/v1", "mock-small")  # 127.0.0.2
    await site.served(plane, await plane.resources.revision())
    assert site.chat("allowed/mock-small")[0] == 200
    before = len(site.mock.rows())
    status, body, _ = site.chat("elsewhere/mock-small")
    assert (status, body["error"]["code"]) == (502, "upstream_unreachable")
    assert len(site.mock.rows()) == before


async def test_resources_that_do_not_fit(site: Site, plane: Control) -> None:
    """What the file leaves without what it needs is parked and told; the reload holds, and it comes back with the
    file."""
    targets = [{"provider": "spare", "model": "mock-small"}]
    more = FILE.replace("{mock: {type: mock}}", "{mock: {type: mock}, spare: {type: mock}}")
    site.gateway.config.write_text(more)
    async with control(site.gateway.config, site.env) as second:
        await second.change(Create(Kind.RULE, "late", {"match": {"model": "late"}, "targets": targets}))
        await site.served(second, await second.resources.revision())
    eventually(lambda: site.chat("late")[0] == 200, "the rule")
    site.gateway.config.write_text(FILE)
    eventually(lambda: any("`late`" in remark for remark in site.remarks()), "the remark")
    assert site.chat("late")[0] == 404
    assert site.chat("mock/mock-small")[0] == 200
    site.gateway.config.write_text(more)
    eventually(lambda: site.chat("late")[0] == 200, "the rule again")
    site.gateway.config.write_text(FILE)


async def test_a_shelf_that_is_damaged(site: Site, plane: Control) -> None:
    """What is laid out for the workers gets damaged or lost: what they know serves on, they say so, and it is laid out
    anew."""
    await plane.provider("acme", site.mock.url, "mock-small", secret=SECRET)
    await site.served(plane, await plane.resources.revision())
    shelf = site.gateway.directory / "state" / "registry" / "resources.json"
    whole = shelf.read_bytes()
    administrator = site.administrator
    for damage in (whole[:-20], b"", b"\x00" * 100, encode(decode(whole)).replace(b'"format":1', b'"format":9')):
        os.kill(administrator, signal.SIGSTOP)
        try:
            shelf.write_bytes(damage)
            eventually(lambda: any("resources.json" in remark for remark in site.remarks()), "the remark")
            assert site.chat("acme/mock-small")[0] == 200
        finally:
            os.kill(administrator, signal.SIGCONT)
        eventually(lambda: shelf.read_bytes() == whole, "the repair")
        eventually(lambda: not site.remarks(), "no remark any more")
    shelf.unlink()
    eventually(lambda: shelf.exists() and shelf.read_bytes() == whole, "the repair")
    eventually(lambda: site.chat("acme/mock-small")[0] == 200, "service")


async def test_a_killed_administrator(site: Site, plane: Control) -> None:
    """Killed: the admin API is 503 in its own shape until another one is there, calls go on, and a change made
    meanwhile is taken up."""
    await plane.provider("acme", site.mock.url, "mock-small", secret=SECRET)
    await site.served(plane, await plane.resources.revision())
    administrator = site.administrator
    os.kill(administrator, signal.SIGSTOP)
    os.kill(administrator, signal.SIGKILL)
    eventually(lambda: not alive(administrator), "its end")
    got = site.admin("/keys")
    assert (got.status, got.json()["error"]["code"], got.headers["retry-after"]) == (503, "unavailable", "1")
    assert site.chat("acme/mock-small")[0] == 200
    made = await plane.change(Create(Kind.MODEL, "mock-large", provider="id-acme"))
    site.up()
    assert site.administrator != administrator
    await site.served(plane, made.revision)
    assert site.chat("acme/mock-large")[0] == 200


async def test_killed_in_mid_change(site: Site, plane: Control) -> None:
    """Killed again and again while it is asked for changes: each of them is there whole, with its revision, or not at
    all; what was confirmed is there; no call fails of it."""
    start = await plane.resources.revision()
    answers: dict[str, int] = {}
    statuses: set[int] = set()
    enough = threading.Event()

    def administer() -> None:
        for number in itertools.count():
            if enough.is_set():
                return
            name = f"made-{number}"
            body = {"identifier": name, "name": name, "type": "openai_compatible", "base_url": site.mock.url}
            with contextlib.suppress(OSError):
                answers[name] = site.write("POST", "/providers", body).status

    def call() -> None:
        while not enough.is_set():
            statuses.add(site.chat("mock/mock-small")[0])

    threads = [threading.Thread(target=work) for work in (administer, call)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = len([status for status in answers.values() if status == 201])
            made_more = partial(lambda least: list(answers.values()).count(201) > least, before + 3)
            eventually(made_more, "changes", 60)
            os.kill(site.administrator, signal.SIGKILL)
    finally:
        enough.set()
        for thread in threads:
            thread.join(60)
    site.up()
    assert statuses == {200}
    assert set(answers.values()) <= {201, 503}
    there = {one.name for one in (await plane.resources.state()).of(Kind.PROVIDER).values()}
    assert {name for name, status in answers.items() if status == 201} <= there
    revisions = [one for one in await plane.resources.revisions(most=1000) if one.revision > start]
    assert [one.revision for one in revisions] == list(range(await plane.resources.revision(), start, -1))
    written = {
        change.name for one in revisions for change in (await plane.resources.one_revision(one.revision)).changes
    }
    assert there <= written
    async with plane.database.connect() as connection:
        audited = select(audit_log.c.after).where(
            audit_log.c.resource_kind == "providers", audit_log.c.action == "create"
        )
        entries = [json.loads(row)["name"] for row in (await connection.execute(audited)).scalars()]
    assert there <= set(entries)


async def test_a_worker_that_starts_anew(site: Site, plane: Control) -> None:
    """A worker that takes another's place serves the resources at once, without the administrator."""
    await plane.provider("acme", site.mock.url, "mock-small", secret=SECRET)
    await site.served(plane, await plane.resources.revision())
    administrator = site.administrator
    os.kill(administrator, signal.SIGSTOP)
    try:
        worker = pid_of(site.gateway, "worker")
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: pid_of(site.gateway, "worker") not in (None, worker), "another worker")
        eventually(lambda: ready(site), "readiness", 30)
        assert site.chat("acme/mock-small")[0] == 200
    finally:
        os.kill(administrator, signal.SIGCONT)


def reasons(site: Site) -> str:
    return "; ".join(site.gateway.get("/readyz").json()["reasons"])


def ready(site: Site) -> bool:
    try:
        return site.gateway.get("/readyz", timeout=5).status == 200
    except OSError:
        return False


async def test_many_changes_at_once(site: Site, plane: Control) -> None:
    """Changes that follow each other closely are served as the last one of them."""
    made = await plane.provider("acme", site.mock.url, "mock-small", secret=SECRET)
    for number in range(20):
        await plane.change(Update(Kind.PROVIDER, made.id, {"retry_attempts": number % 5}))
    await site.served(plane, await plane.resources.revision())
    await asyncio.sleep(0)
    assert site.chat("acme/mock-small")[0] == 200


# ---- the rest of the estate is away


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    """A PostgreSQL of this module's own, to be stopped."""
    with server() as found:
        yield found


async def test_the_estate_away(database: Postgres, tmp_path: Path) -> None:
    """Without database and Redis calls go on, those of workers that start anew among them; a change made while Redis is
    away is served all the same; a wrong ENCRYPTION_KEY refuses to start."""
    with ExitStack() as stack:
        mock, store = stack.enter_context(mock_process()), stack.enter_context(own_store())
        env = {
            "DATABASE_URL": postgres_database(database),
            "REDIS_URL": store.url,
            "ENCRYPTION_KEY": KEY,
            "GATEWAY_ADMIN_API": "true",
            "GATEWAY_PRIVATE_NETWORKS": "127.0.0.1/32",
        }
        gateway = stack.enter_context(GatewayProcess(FILE, tmp_path / "one", env=env))
        site = Site(gateway, mock, env)
        site.up()
        async with control(gateway.config, env) as plane:
            await plane.provider("acme", mock.url, "mock-small", secret=SECRET)
            await plane.served(await plane.resources.revision(), 1)
            assert site.chat("acme/mock-small")[0] == 200
            store.stop()
            await plane.change(Create(Kind.MODEL, "mock-large", provider="id-acme"), say=False)
            eventually(lambda: site.chat("acme/mock-large")[0] == 200, "the change without Redis", 20)
            store.start()
        database.stop()
        eventually(lambda: site.admin("/keys").status == 503, "the admin API's refusal", 20)
        eventually(lambda: "DatabaseUnavailable" in reasons(site), "the word of it", 20)
        worker = pid_of(gateway, "worker")
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: pid_of(gateway, "worker") not in (None, worker), "another worker", 20)
        eventually(lambda: ready(site), "readiness", 30)
        assert site.chat("acme/mock-large")[0] == 200
        database.start()
        eventually(lambda: site.admin("/keys").status == 200, "the admin API", 30)
        eventually(lambda: reasons(site) == "", "no more word of it", 30)
        assert gateway.stop() == 0
        other = {**env, "ENCRYPTION_KEY": "quite another passphrase"}
        # By what is laid out here, and by the database alone.
        for directory, code in ((tmp_path / "one", 1), (tmp_path / "two", 4)):
            wrong = GatewayProcess(FILE, directory, env=other)
            try:
                with contextlib.suppress(AssertionError):  # it may end before it is asked whether it is there
                    wrong.start()
                assert wrong.ended(30) == code
            finally:
                wrong.stop()
            said = wrong.stderr() + wrong.out.read_text()
            assert "ENCRYPTION_KEY is not the key" in said


def _rotated(site: Site, keys: str) -> tuple[int, str]:
    """`gateway rotate-encryption-key`, as an operator runs it: exit code and standard output."""
    env = {**os.environ, "GATEWAY_DATA_DIR": str(site.gateway.directory / "state"), "ENCRYPTION_KEY": keys}
    words = [sys.executable, "-m", "gateway", "rotate-encryption-key"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout


async def test_a_replica_that_was_left_out_of_a_rotation(tmp_path: Path) -> None:
    """It goes on with what it has, stores no secret that others could not open, and the command names it; once it has
    the new key, the old one is needed by nobody."""
    env = {"GATEWAY_ADMIN_API": "true", "GATEWAY_PRIVATE_NETWORKS": "127.0.0.1/32", "ENCRYPTION_KEY": KEY}
    both = f"another passphrase,{KEY}"
    secret = {"name": "spare", "value": SECRET}
    with mock_process() as mock:
        with GatewayProcess(FILE, tmp_path, env=env) as gateway:
            site = Site(gateway, mock, env)
            site.up()
            async with control(gateway.config, site.env) as plane:
                await plane.provider("acme", mock.url, "mock-small", secret=SECRET)
                await plane.served(await plane.resources.revision(), 1)
            code, said = await asyncio.to_thread(_rotated, site, both)
            replica = (gateway.directory / "state" / "replica.id").read_text().strip()
            assert (code, replica in said) == (1, True), said
            assert site.write("POST", "/providers/acme/credentials", secret).status == 503
            assert site.chat("acme/mock-small")[0] == 200
        env["ENCRYPTION_KEY"] = both
        with GatewayProcess(FILE, tmp_path, env=env) as gateway:
            site = Site(gateway, mock, env)
            site.up()
            assert site.write("POST", "/providers/acme/credentials", secret).status == 201
            code, said = await asyncio.to_thread(_rotated, site, both)
            assert (code, "needed by nobody" in said) == (0, True), said
            assert site.chat("acme/mock-small")[0] == 200
