"""Who may come in: every route, every role, every carrier. Routes are found, not listed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text

from gateway.audit.verify import verify
from gateway.auth.admins import Actor, Open, Role
from gateway.auth.drafts import Draft
from gateway.auth.issue import Issuer
from gateway.auth.sessions import COOKIE
from gateway.auth.users import Changed
from gateway.http.admin.app import create_admin
from gateway.http.admin.authentication import Authenticator, Entry
from gateway.http.admin.routing import check_policies, policy_of
from tests.support.admin import ADMIN_KEY, PREFIX, AdminApi

ROOT = Actor("admin", Role.ADMIN, "admin_key")
PASSWORD = "correct horse battery"
CANARY = "canary-password-4471"


async def nothing(*_: object) -> None:
    """Records nothing."""


def routes(api: AdminApi) -> Iterator[tuple[str, str, Any]]:
    """Method, path and policy of every route there is, with a word where the path has a name."""
    for route in api.app.routes:
        assert isinstance(route, APIRoute)
        path = route.path
        for name in route.param_convertors:
            path = path.replace("{" + name + "}", "nobody").replace("{" + name + ":path}", "nobody")
        for method in sorted(route.methods or ()):
            yield method, path, policy_of(route)


@dataclass
class People:
    """A user of each role, with a password and a token of that role."""

    api: AdminApi
    tokens: dict[Role, str]
    key: str

    async def ask(self, method: str, path: str, headers: dict[str, str]) -> httpx2.Response:
        """One request without the admin key. What has a body gets one that cannot be read: a caller who is let in is
        told so, and nothing is changed."""
        given: dict[str, Any] = {"headers": headers}
        if method in ("POST", "PUT", "PATCH"):
            given["content"] = b"{"
            headers = given["headers"] = {**headers, "content-type": "application/json"}
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.api.app)) as client:
            return await client.request(method, PREFIX + path, **given)

    async def session(self, role: Role) -> dict[str, str]:
        """The headers of a browser that is logged in, and of the page in it."""
        actor = Actor(role.value, role, "user", (await self.api.services.authenticator.users.get(role.value)).id)
        session = await self.api.services.authenticator.sessions.open(actor, nothing)
        return {
            "cookie": f"{COOKIE}={session.token}",
            "x-csrf-token": session.csrf,
            "sec-fetch-site": "same-origin",
        }


@pytest.fixture
async def people(sqlite_api: AdminApi) -> People:
    authenticator, tokens = sqlite_api.services.authenticator, {}
    for role in Role:
        user = await authenticator.users.create(ROOT, nothing, role.value, role, PASSWORD)
        made = await authenticator.tokens.create(Actor(user.name, role, "user", user.id), nothing, "t", role)
        tokens[role] = made.secret
    issued = await Issuer(sqlite_api.services.database).create(Draft("ci"), "test")
    return People(sqlite_api, tokens, issued.secret)


def let_in(reply: httpx2.Response) -> bool:
    return reply.status_code not in (401, 403)


async def test_every_token_is_in_the_list(api: AdminApi) -> None:
    """However many there were: one that cannot be found cannot be revoked. Those of one moment are each there once."""
    values = [
        {"id": f"{n:016x}", "name": f"t{n}", "digest": n.to_bytes(32, "big"), "at": 1_800_000_000_000_000 + n // 3}
        for n in range(1_201)
    ]
    async with api.services.database.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO admin_tokens (id, name, role, digest, prefix, created_at, created_by) "
                "VALUES (:id, :name, 'viewer', :digest, 'gwt-x', :at, 'test')"
            ),
            values,
        )
    found: list[str] = []
    page: dict[str, Any] = {"next_cursor": None}
    while not found or page["next_cursor"] is not None:
        more = {} if page["next_cursor"] is None else {"cursor": page["next_cursor"]}
        page = (await api.call("GET", "/tokens", params={"limit": "200", **more})).json()
        assert page["total"] == len(values)
        found += [one["id"] for one in page["items"]]
    assert found == [one["id"] for one in reversed(values)]


@pytest.mark.parametrize("at", ["1e300", "-1e300", "1e13"])
async def test_a_cursor_of_no_time_is_none(api: AdminApi, at: str) -> None:
    cursor = base64.urlsafe_b64encode(f'["-created_at",{at},"x"]'.encode()).decode().rstrip("=")
    answer = await api.call("GET", "/tokens", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "cursor")


@pytest.mark.slow
async def test_every_route_asks_for_its_role(people: People) -> None:
    """Each role on each route by each carrier: a caller is let in exactly where its role covers the route's policy."""
    asked = 0
    for method, path, policy in routes(people.api):
        for role in Role:
            token = people.tokens[role]
            carriers = (
                {"authorization": f"Bearer {token}"},
                {"x-api-key": token},
                {"api-key": token},
                await people.session(role),
            )
            for headers in carriers:
                reply = await people.ask(method, path, headers)
                expected = policy is Open.PUBLIC or role.covers(policy)
                assert let_in(reply) is expected, (method, path, role, headers, reply.text)
                if not expected:
                    assert reply.json()["error"]["code"] == "forbidden"
                asked += 1
    assert asked > 300


@pytest.mark.slow
async def test_nobody_else_is_let_in(people: People) -> None:
    """No credential, a virtual key, a hash, a token that is over, a session without its page: nothing opens but what is
    open to everybody."""
    api, authenticator = people.api, people.api.services.authenticator
    token = people.tokens[Role.ADMIN]
    revoked = await authenticator.tokens.create(ROOT, nothing, "r", Role.ADMIN)
    await authenticator.tokens.revoke(ROOT, nothing, revoked.id)
    await authenticator.users.create(ROOT, nothing, "gone", Role.ADMIN, PASSWORD)
    gone = await authenticator.tokens.create(
        Actor("gone", Role.ADMIN, "user", (await authenticator.users.get("gone")).id), nothing, "t", Role.ADMIN
    )
    await authenticator.users.change(ROOT, nothing, "gone", Changed(disabled=True))
    async with api.services.database.connect() as connection:
        stored = (await connection.execute(text("SELECT password_hash FROM admin_users LIMIT 1"))).scalar_one()
    session = await people.session(Role.ADMIN)
    outsiders: list[dict[str, str]] = [
        {},
        {"authorization": f"Bearer {people.key}"},
        {"x-api-key": people.key},
        {"authorization": f"Bearer {hashlib.sha256(token.encode()).hexdigest()}"},
        {"authorization": f"Bearer {hashlib.sha256(ADMIN_KEY.encode()).hexdigest()}"},
        {"authorization": f"Bearer {stored}"},
        {"authorization": f"Bearer {PASSWORD}"},
        {"authorization": f"Bearer {token[:20]}"},
        {"authorization": f"Bearer {token}x"},
        {"authorization": f"Bearer {ADMIN_KEY[:-1]}"},
        {"authorization": f"Basic {token}"},
        {"authorization": f"Bearer {revoked.secret}"},
        {"authorization": f"Bearer {gone.secret}"},
        {"authorization": "Bearer gwt-' OR '1'='1"},
        {"authorization": "Bearer nonsense", "cookie": session["cookie"], "x-csrf-token": session["x-csrf-token"]},
        {"cookie": f"{COOKIE}={token}"},
        {"cookie": f"{COOKIE}={ADMIN_KEY}"},
        {"cookie": session["cookie"], "sec-fetch-site": "cross-site", "x-csrf-token": session["x-csrf-token"]},
        {"cookie": session["cookie"], "sec-fetch-site": "same-site", "x-csrf-token": session["x-csrf-token"]},
        {"cookie": session["cookie"], "origin": "https://evil.example", "x-csrf-token": session["x-csrf-token"]},
    ]
    authenticator._failures._burst = 10_000  # this is about who, not about how often
    for method, path, policy in routes(api):
        for headers in outsiders:
            reply = await people.ask(method, path, headers)
            if policy is Open.PUBLIC and "cross" not in str(headers) and "evil" not in str(headers):
                continue
            assert reply.status_code in (401, 403), (method, path, headers)


@pytest.mark.slow
async def test_a_session_changes_nothing_without_its_token(people: People) -> None:
    """A cookie alone reads; what changes something comes from a page of ours, with the session's token."""
    session = await people.session(Role.ADMIN)
    for method, path, policy in routes(people.api):
        if policy is Open.PUBLIC:
            continue
        for missing in ("x-csrf-token", "sec-fetch-site"):
            headers = {name: value for name, value in session.items() if name != missing}
            reply = await people.ask(method, path, headers)
            assert let_in(reply) is (method == "GET"), (method, path, missing)
        other = (await people.session(Role.ADMIN))["x-csrf-token"]
        reply = await people.ask(method, path, {**session, "x-csrf-token": other})
        assert let_in(reply) is (method == "GET"), (method, path)


@pytest.mark.slow
async def test_the_admin_key_opens_everything(people: People) -> None:
    """By every header that carries a credential."""
    for method, path, policy in routes(people.api):
        if path == "/session" and method == "DELETE":
            continue
        reply = await people.ask(method, path, {"x-api-key": ADMIN_KEY})
        assert let_in(reply) or path == "/session/password", (method, path, policy)


def test_a_route_without_a_policy_does_not_start(sqlite_api: AdminApi) -> None:
    """What nobody declared is not served."""
    app = create_admin(sqlite_api.services)
    app.add_api_route("/forgotten", lambda: None)
    with pytest.raises(RuntimeError, match="/forgotten declares no policy"):
        check_policies(app)


async def test_wrong_credentials_are_slowed_down(people: People) -> None:
    """After some, an address is told to wait; whoever has the right one is let in from there all the same."""
    statuses = [
        (await people.ask("GET", "/keys", {"authorization": f"Bearer wrong{n}"})).status_code for n in range(40)
    ]
    assert statuses[:30] == [401] * 30
    assert 429 in statuses
    assert (
        await people.ask("GET", "/keys", {"authorization": f"Bearer {people.tokens[Role.VIEWER]}"})
    ).status_code == 200


async def test_nobody_sends_without_end(people: People) -> None:
    """A caller has a rate; another one is not held up by it."""
    services = people.api.services
    object.__setattr__(
        services,
        "authenticator",
        Authenticator(Entry(ADMIN_KEY, rate=2), services.database, services.authenticator.audit),
    )
    viewer = {"authorization": f"Bearer {people.tokens[Role.VIEWER]}"}
    replies = [await people.ask("GET", "/session", viewer) for _ in range(15)]
    assert [reply.status_code for reply in replies[:10]] == [200] * 10
    assert replies[-1].status_code == 429
    assert int(replies[-1].headers["retry-after"]) >= 1
    assert (await people.ask("GET", "/session", {"x-api-key": ADMIN_KEY})).status_code == 200


@pytest.mark.parametrize("host", ["h/?", "h/#", "h/#@x", "a@b", "127.0.0.1/x?", "h\\x", ""])
async def test_host_opens_nothing(people: People, host: str) -> None:
    """A Host that wants to be read as a path is refused on every route, with and without a credential."""
    for method, path, _ in routes(people.api):
        for headers in ({"host": host}, {"host": host, "x-api-key": ADMIN_KEY}):
            reply = await people.ask(method, path, headers)
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "bad_host")


async def test_no_page_elsewhere_reaches_loopback(people: People) -> None:
    """On a loopback address only this machine's names are answered, and those that the operator allows."""
    services = people.api.services
    entry = Entry(ADMIN_KEY, frozenset({"gw.example.com"}), rate=0)
    object.__setattr__(services, "authenticator", Authenticator(entry, services.database, services.authenticator.audit))
    key = {"x-api-key": ADMIN_KEY, "x-gateway-listener": "loopback"}
    for host, status in (
        ("localhost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("gw.example.com", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
    ):
        reply = await people.ask("GET", "/session", {**key, "host": host})
        assert reply.status_code == status, host
        if status == 403:
            assert reply.json()["error"]["code"] == "forbidden_host"
    foreign = {**key, "host": "localhost", "origin": "https://evil.example"}
    assert (await people.ask("GET", "/session", foreign)).status_code == 403
    assert (await people.ask("GET", "/session", {"x-api-key": ADMIN_KEY, "host": "evil.example"})).status_code == 200


class Browser:
    """Keeps the cookie, as a browser would."""

    def __init__(self, api: AdminApi) -> None:
        self._desk = api
        self.cookie = ""
        self.csrf = ""

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        own = {"sec-fetch-site": "same-origin", **headers}
        if self.cookie:
            own["cookie"] = self.cookie
        if self.csrf:
            own["x-csrf-token"] = self.csrf
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self._desk.app)) as client:
            reply = await client.request(method, PREFIX + path, headers=own, **({} if body is None else {"json": body}))
        if "set-cookie" in reply.headers:
            self.cookie = reply.headers["set-cookie"].partition(";")[0]
        return reply

    async def log_in(self, name: str = "operator", password: str = PASSWORD) -> httpx2.Response:
        reply = await self.call("POST", "/session", {"name": name, "password": password})
        if reply.status_code == 200:
            self.csrf = reply.json()["csrf_token"]
        return reply


async def test_a_login(people: People) -> None:
    """Name and password give a strict cookie and a token for the page; a logout ends it."""
    browser = Browser(people.api)
    reply = await browser.log_in()
    assert (reply.status_code, reply.json()["name"], reply.json()["role"]) == (200, "operator", "operator")
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for word in ("Path=/", "Secure", "HttpOnly", "SameSite=Strict"):
        assert f"; {word}" in cookie
    assert "Domain" not in cookie
    who = await browser.call("GET", "/session")
    assert (who.json()["kind"], who.json()["csrf_token"]) == ("user", browser.csrf)
    first = browser.cookie
    await browser.log_in()
    assert browser.cookie != first
    stolen = Browser(people.api)
    stolen.cookie = first
    assert (await stolen.call("GET", "/session")).status_code == 401
    last = browser.cookie
    assert (await browser.call("DELETE", "/session")).status_code == 204
    assert browser.cookie == f"{COOKIE}="
    stolen.cookie = last
    assert (await stolen.call("GET", "/session")).status_code == 401


async def test_wrong_logins_say_nothing(people: People) -> None:
    """Who is there and who is not, disabled or without a password, cannot be told apart; guessing is slowed down."""
    api = people.api
    await api.services.authenticator.users.create(ROOT, nothing, "machine", Role.ADMIN, None)
    await api.services.authenticator.users.create(ROOT, nothing, "gone", Role.ADMIN, PASSWORD)
    await api.services.authenticator.users.change(ROOT, nothing, "gone", Changed(disabled=True))
    bodies = set()
    for name in ("operator", "nobody", "machine", "gone"):
        password = CANARY if name == "operator" else PASSWORD
        reply = await Browser(api).log_in(name, password)
        assert reply.status_code == 401
        bodies.add(reply.json()["error"]["message"])
        assert CANARY not in reply.text
    assert len(bodies) == 1
    replies = [await Browser(api).log_in("viewer", CANARY) for _ in range(6)]
    assert [reply.status_code for reply in replies] == [401] * 5 + [429]
    assert "retry-after" in replies[-1].headers
    assert (await Browser(api).log_in("admin")).status_code == 200


async def test_odd_logins(people: People) -> None:
    """Half of a login is none; the admin key opens a session, tokens and virtual keys do not."""
    browser = Browser(people.api)
    for body in ({}, {"name": "operator"}, {"password": PASSWORD}, {"name": "a", "password": "b", "credential": "c"}):
        assert (await browser.call("POST", "/session", body)).status_code == 422
    for credential in (people.tokens[Role.ADMIN], people.key, "x"):
        assert (await browser.call("POST", "/session", {"credential": credential})).status_code == 401
    reply = await browser.call("POST", "/session", {"credential": ADMIN_KEY})
    assert (reply.status_code, reply.json()["kind"]) == (200, "admin_key")
    assert (await browser.call("GET", "/admins")).status_code == 200
    foreign = await Browser(people.api).call(
        "POST", "/session", {"name": "operator", "password": PASSWORD}, **{"sec-fetch-site": "cross-site"}
    )
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "cross_site")


async def test_ones_own_password(people: People) -> None:
    """Changed by who knows the present one; every session ends with it."""
    browser = Browser(people.api)
    await browser.log_in()
    wrong = await browser.call("PUT", "/session/password", {"current": "x", "password": PASSWORD + "!"})
    assert wrong.status_code == 403
    short = await browser.call("PUT", "/session/password", {"current": PASSWORD, "password": "short"})
    assert (short.status_code, short.json()["error"]["field"]) == (422, "password")
    kept = browser.cookie
    done = await browser.call("PUT", "/session/password", {"current": PASSWORD, "password": PASSWORD + "!"})
    assert done.status_code == 204
    browser.cookie = kept
    assert (await browser.call("GET", "/session")).status_code == 401
    assert (await Browser(people.api).log_in()).status_code == 401
    assert (await Browser(people.api).log_in(password=PASSWORD + "!")).status_code == 200
    key = await people.api.call("PUT", "/session/password", {"current": "x", "password": PASSWORD})
    assert key.status_code == 403


async def test_users_over_the_api(api: AdminApi) -> None:
    """Made, listed, changed with an ETag, shut out; no answer holds a password."""
    made = await api.call("POST", "/admins", {"name": "ada", "role": "operator", "password": CANARY})
    assert (made.status_code, made.headers["location"]) == (201, "/api/admin/admins/ada")
    assert (await api.call("POST", "/admins", {"name": "ADA"})).status_code == 409
    for n in range(3):
        await api.call("POST", "/admins", {"name": f"b{n}"})
    first = (await api.call("GET", "/admins?limit=3")).json()
    rest = (await api.call("GET", f"/admins?cursor={first['next_cursor']}")).json()
    assert [user["name"] for user in first["items"] + rest["items"]] == ["ada", "b0", "b1", "b2"]
    assert (first["total"], rest["next_cursor"]) == (4, None)
    stale = await api.call("PATCH", "/admins/ada", {"role": "viewer"}, headers={"if-match": '"7"'})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "version_mismatch")
    changed = await api.call("PATCH", "/admins/ada", {"role": "viewer"}, headers={"if-match": made.headers["etag"]})
    assert (changed.json()["role"], changed.headers["etag"]) == ("viewer", '"2"')
    assert (await api.call("DELETE", "/admins/ada")).status_code == 204
    assert (await api.call("GET", "/admins/ada")).json()["disabled"] is True
    assert (await api.call("GET", "/admins/nobody")).status_code == 404
    for bad in (
        {"name": "a b"},
        {"name": "x", "role": "god"},
        {"name": "x", "password": "short"},
        {"name": "x", "id": 1},
    ):
        assert (await api.call("POST", "/admins", bad)).status_code == 422
    assert CANARY not in made.text + changed.text + (await api.call("GET", "/audit")).text


async def test_tokens_over_the_api(api: AdminApi) -> None:
    """Made and shown once, listed without the secret, revoked; the audit log has it all."""
    made = await api.call("POST", "/tokens", {"name": "deploy", "role": "operator", "expires_at": "2099-01-01"})
    assert made.status_code == 201
    token = made.json()
    own = {"authorization": f"Bearer {token['token']}"}
    assert (await api.call("GET", "/session", headers=own)).json()["role"] == "operator"
    listed = await api.call("GET", "/tokens")
    assert listed.json()["items"][0]["prefix"] == token["token"][:12]
    assert token["token"] not in listed.text
    assert (await api.call("POST", "/tokens", {"name": "x", "expires_at": "1999-01-01"})).status_code == 422
    assert (await api.call("DELETE", f"/tokens/{token['id']}")).status_code == 204
    assert (await api.call("GET", "/session", headers=own)).status_code == 401
    assert (await api.call("DELETE", "/tokens/nobody")).status_code == 404


async def test_the_audit_log_over_the_api(api: AdminApi) -> None:
    """Every change of keys, users and tokens is in it, with who, what, before and after, from where, by which request;
    and it is a chain."""
    secret = (await api.call("POST", "/keys", {"name": "ci"}, headers={"x-request-id": "req-77"})).json()["secret"]
    await api.call("PATCH", "/keys/ci", {"models": ["gpt-*"]}, headers={"x-gateway-peer": "192.0.2.9"})
    rotated = (await api.call("POST", "/keys/ci/rotate", {})).json()["secret"]
    await api.call("DELETE", "/keys/ci")
    listed = await api.call("GET", "/audit")
    entries = listed.json()["items"]
    assert [entry["action"] for entry in entries] == ["revoke", "rotate", "update", "create"]
    assert {entry["resource_kind"] for entry in entries} == {"virtual_key"}
    assert entries[-1]["request_id"] == "req-77"
    assert (entries[2]["before"]["models"], entries[2]["after"]["models"]) == (None, ["gpt-*"])
    assert (entries[2]["address"], entries[2]["actor"], entries[2]["actor_kind"]) == ("192.0.2.9", "admin", "admin_key")
    exported = await api.call("GET", "/audit/export")
    assert exported.headers["content-type"].startswith("application/x-ndjson")
    assert len(exported.text.splitlines()) == 4
    assert not any(text_ in listed.text + exported.text for text_ in (secret, rotated, ADMIN_KEY))
    assert (await verify(api.services.database)).intact
    for query, count in (
        ("action=create", 1),
        ("request_id=req-77", 1),
        ("actor=%25", 0),
        ("resource_id=ci&limit=2", 2),
        ("since=2099-01-01", 0),
        ("until=2099-01-01", 4),
    ):
        assert len((await api.call("GET", f"/audit?{query}")).json()["items"]) == count, query
    first = (await api.call("GET", "/audit?limit=3")).json()
    rest = (await api.call("GET", f"/audit?cursor={first['next_cursor']}")).json()
    assert [entry["seq"] for entry in first["items"] + rest["items"]] == [4, 3, 2, 1]
    assert (first["total"], rest["next_cursor"]) == (4, None)


async def test_without_its_log_nothing_changes(api: AdminApi) -> None:
    """An audit log that cannot be written: 503, and the change was not made. Reading goes on."""
    async with api.services.database.begin() as connection:
        await connection.execute(text("DELETE FROM audit_head"))
    for method, path, body in (
        ("POST", "/keys", {"name": "ci"}),
        ("POST", "/admins", {"name": "ada"}),
        ("POST", "/tokens", {"name": "t"}),
        ("POST", "/session", {"credential": ADMIN_KEY}),
    ):
        reply = await api.call(method, path, body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "unavailable")
        assert "retry-after" in reply.headers
    for path in ("/keys", "/admins", "/tokens"):
        assert [one for one in (await api.call("GET", path)).json()["items"] if not one.get("is_system")] == []
