"""Users who administer, their tokens and their sessions, on each kind of database."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.admins import (
    Actor,
    AdminInvalid,
    AdminNameTaken,
    AdminOutdated,
    AdminRefused,
    NoSuchAdmin,
    Note,
    Role,
)
from gateway.auth.passwords import LONGEST, Passwords
from gateway.auth.sessions import ABSOLUTE, COOKIE, IDLE, Sessions
from gateway.auth.tokens import Tokens
from gateway.auth.users import Changed, User, Users
from gateway.storage.sql.database import Database
from tests.auth.conftest import Time
from tests.support.ledger import clear_administration, opened, sqlite_file

ROOT = Actor("admin", Role.ADMIN, "admin_key")
PASSWORD = "correct horse battery"


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    url = sqlite_file(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with opened(url) as found:
        await clear_administration(found)
        yield found


class Notes(list[Note]):
    """An audit log that only remembers."""

    async def __call__(self, connection: AsyncConnection, note: Note) -> None:
        self.append(note)


class Office:
    """Users, tokens and sessions of one database."""

    def __init__(self, database: Database) -> None:
        self.wall = Time(1_800_000_000.0)
        self.database = database
        self.passwords = Passwords()
        self.users = Users(database, self.passwords, self.wall)
        self.tokens = Tokens(database, self.wall)
        self.sessions = Sessions(database, "the admin key", self.wall)
        self.notes = Notes()

    async def hire(self, name: str, role: Role, password: str | None = None) -> User:
        return await self.users.create(ROOT, self.notes, name, role, password)

    def acting(self, user: User, kind: str = "user") -> Actor:
        return Actor(user.name, user.role, kind, user.id)


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


async def test_a_user_is_made_and_shown(office: Office) -> None:
    """With a role; the password is kept as Argon2id, and noted nowhere."""
    made = await office.hire("ada", Role.OPERATOR, PASSWORD)
    assert (
        await office.users.list_all() == [made] == [await office.users.get("ada")] == [await office.users.get(made.id)]
    )
    assert (made.role, made.disabled, made.has_password, made.created_by) == (Role.OPERATOR, False, True, "admin")
    user, stored = await office.users.credentials("ada")
    assert user == made
    assert stored is not None
    assert stored.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert office.notes == [
        Note("create", "admin_user", made.id, None, {"name": "ada", "role": "operator", "disabled": False})
    ]


async def test_names_are_used_once(office: Office) -> None:
    """However they are written; and they are names."""
    await office.hire("ada", Role.VIEWER)
    for name in ("ada", "ADA"):
        with pytest.raises(AdminNameTaken):
            await office.hire(name, Role.VIEWER)
    for name in ("", "a b", "-a", "a\0", "x" * 129, "' OR '1'='1", "ä"):
        with pytest.raises(AdminInvalid) as refused:
            await office.hire(name, Role.VIEWER)
        assert refused.value.field == "name"


async def test_nobody_rises_above_themselves(office: Office) -> None:
    """What somebody gives, takes or makes is within their own role; nobody shuts themselves out."""
    operator = office.acting(await office.hire("op", Role.OPERATOR))
    boss = await office.hire("boss", Role.ADMIN)
    with pytest.raises(AdminRefused):
        await office.users.create(operator, office.notes, "eve", Role.ADMIN, None)
    with pytest.raises(AdminRefused):
        await office.users.change(operator, office.notes, "op", Changed(role=Role.ADMIN))
    with pytest.raises(AdminRefused):
        await office.users.change(operator, office.notes, "boss", Changed(disabled=True))
    with pytest.raises(AdminRefused):
        await office.tokens.create(operator, office.notes, "t", Role.ADMIN)
    for change in (Changed(disabled=True), Changed(role=Role.VIEWER)):
        with pytest.raises(AdminRefused, match="themselves"):
            await office.users.change(office.acting(boss), office.notes, "boss", change)
    assert [note.action for note in office.notes] == ["create", "create"]


async def test_a_change_is_noted_and_ends_sessions(office: Office) -> None:
    """A new password, another role or the end: whoever was logged in has to log in again."""
    user = await office.hire("ada", Role.ADMIN, PASSWORD)
    changes = (Changed(password=PASSWORD + "!"), Changed(role=Role.VIEWER), Changed(disabled=True))
    for n, change in enumerate(changes, 2):
        session = await office.sessions.open(office.acting(user), office.notes)
        assert await office.sessions.find(session.token) is not None
        changed = await office.users.change(ROOT, office.notes, "ada", change)
        assert changed.version == n
        assert await office.sessions.find(session.token) is None
    assert await office.users.credentials("ada") == (None, None)
    last = office.notes[-1]
    assert (last.before, last.after) == (
        {"name": "ada", "role": "viewer", "disabled": False},
        {"name": "ada", "role": "viewer", "disabled": True},
    )
    assert PASSWORD not in str(office.notes)
    told = len(office.notes)
    assert (await office.users.change(ROOT, office.notes, "ada", Changed(disabled=True))).version == 4
    assert len(office.notes) == told
    with pytest.raises(AdminOutdated):
        await office.users.change(ROOT, office.notes, "ada", Changed(disabled=False, version=3))
    with pytest.raises(NoSuchAdmin):
        await office.users.change(ROOT, office.notes, "eve", Changed(disabled=True))


async def test_a_change_that_cannot_be_noted_is_not_made(office: Office) -> None:
    """The note and the change are one."""

    async def fail(_connection: AsyncConnection, _note: Note) -> None:
        raise ZeroDivisionError

    user = await office.hire("ada", Role.ADMIN)
    with pytest.raises(ZeroDivisionError):
        await office.users.create(ROOT, fail, "eve", Role.ADMIN, None)
    with pytest.raises(ZeroDivisionError):
        await office.users.change(ROOT, fail, "ada", Changed(role=Role.VIEWER))
    with pytest.raises(ZeroDivisionError):
        await office.tokens.create(ROOT, fail, "t", Role.ADMIN)
    with pytest.raises(ZeroDivisionError):
        await office.sessions.open(ROOT, fail)
    assert await office.users.list_all() == [user]
    assert await office.tokens.list_for(ROOT) == []


async def test_passwords() -> None:
    """The right one opens; nobody's, a wrong one and the stored hash itself do not."""
    passwords = Passwords()
    stored = await passwords.hash(PASSWORD)
    assert await passwords.matches(stored, PASSWORD)
    for wrong in (PASSWORD + " ", PASSWORD.upper(), "", stored, "x\0", "\ud800", "x" * 10_000):
        assert not await passwords.matches(stored, wrong)
    assert not await passwords.matches(None, "nobody's password")
    assert not await passwords.matches("no hash", PASSWORD)
    assert await passwords.hash(PASSWORD) != stored
    for bad in ("short", "x" * (LONGEST + 1), "long enough \ud800"):
        with pytest.raises(AdminInvalid):
            await passwords.hash(bad)


async def test_the_loop_goes_on_while_passwords_are_compared() -> None:
    """Hashing takes its time beside the loop."""
    passwords, turns = Passwords(), 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(turn())
    stored = await passwords.hash(PASSWORD)
    await passwords.matches(stored, PASSWORD)
    ticking.cancel()
    assert turns > 20


async def test_a_token_is_shown_once(office: Office) -> None:
    """256 bits of chance, kept as SHA-256; its actor carries name, role and user."""
    user = await office.hire("ada", Role.ADMIN)
    made = await office.tokens.create(office.acting(user), office.notes, "deploy", Role.OPERATOR)
    assert re.fullmatch(r"gwt-[A-Za-z0-9_-]{43}", made.secret)
    assert made.secret not in repr(made)
    [listed] = await office.tokens.list_for(ROOT)
    assert (listed.secret, listed.prefix, listed.user, listed.state) == ("", made.secret[:12], "ada", "active")
    found = await office.tokens.find(made.secret.encode())
    assert found == Actor("ada/deploy", Role.OPERATOR, "token", user.id, listed.id)
    assert made.secret not in str(office.notes)
    async with office.database.connect() as connection:
        rows = (await connection.execute(text("SELECT * FROM admin_tokens"))).all()
    assert made.secret not in str(rows)
    digest = hashlib.sha256(made.secret.encode())
    for wrong in (made.secret[:-1], made.secret + "x", made.secret[:20], digest.hexdigest(), "gwt-", "' OR '1'='1"):
        assert await office.tokens.find(wrong.encode()) is None
    assert await office.tokens.find(digest.digest()) is None


async def test_a_token_ends(office: Office) -> None:
    """By time, by being revoked, with its user; and falls with its user's role."""
    user = await office.hire("ada", Role.ADMIN)
    actor = office.acting(user)
    dated = await office.tokens.create(actor, office.notes, "dated", Role.ADMIN, office.wall.now + 10)
    token = await office.tokens.create(actor, office.notes, "t", Role.ADMIN)
    machine = await office.tokens.create(ROOT, office.notes, "machine", Role.VIEWER)
    office.wall.now += 10
    assert await office.tokens.find(dated.secret.encode()) is None
    await office.users.change(ROOT, office.notes, "ada", Changed(role=Role.VIEWER))
    found = await office.tokens.find(token.secret.encode())
    assert found is not None
    assert found.role is Role.VIEWER
    await office.users.change(ROOT, office.notes, "ada", Changed(disabled=True))
    assert await office.tokens.find(token.secret.encode()) is None
    assert await office.tokens.find(machine.secret.encode()) == Actor("machine", Role.VIEWER, "token", None, machine.id)
    for _ in range(2):
        assert (await office.tokens.revoke(ROOT, office.notes, machine.id)).state == "revoked"
    assert await office.tokens.find(machine.secret.encode()) is None
    assert [note.action for note in office.notes if note.kind == "admin_token"] == ["create"] * 3 + ["revoke"]
    assert {token.name: token.state for token in await office.tokens.list_for(ROOT)} == {
        "dated": "expired",
        "t": "active",
        "machine": "revoked",
    }


async def test_tokens_of_others_are_not_there(office: Office) -> None:
    """Somebody who is no admin sees and ends their own; a machine has none, and makes none."""
    ada = office.acting(await office.hire("ada", Role.VIEWER))
    eve = office.acting(await office.hire("eve", Role.OPERATOR))
    machine = Actor("m", Role.OPERATOR, "token")
    of_ada = await office.tokens.create(ada, office.notes, "a", Role.VIEWER)
    await office.tokens.create(ROOT, office.notes, "machine", Role.VIEWER)
    assert [token.id for token in await office.tokens.list_for(ada)] == [of_ada.id]
    assert await office.tokens.list_for(eve) == await office.tokens.list_for(machine) == []
    for other in (eve, machine):
        with pytest.raises(NoSuchAdmin):
            await office.tokens.revoke(other, office.notes, of_ada.id)
    with pytest.raises(NoSuchAdmin):
        await office.tokens.revoke(ROOT, office.notes, "missing")
    for actor in (machine, Actor("ada/a", Role.VIEWER, "token", ada.user_id)):
        with pytest.raises(AdminRefused, match="no other tokens"):
            await office.tokens.create(actor, office.notes, "more", Role.VIEWER)
    assert (await office.tokens.revoke(ada, office.notes, of_ada.id)).state == "revoked"


async def test_what_is_no_token(office: Office) -> None:
    """Names that cannot be shown, times that are over or that no calendar has."""
    for name in ("", " ", "a\n", "x" * 129):
        with pytest.raises(AdminInvalid):
            await office.tokens.create(ROOT, office.notes, name, Role.VIEWER)
    for when in (office.wall.now, -1.0, 1e300, float("nan"), float("inf")):
        with pytest.raises(AdminInvalid):
            await office.tokens.create(ROOT, office.notes, "t", Role.VIEWER, when)


async def test_when_a_token_was_used(office: Office) -> None:
    """Noted, at most once a minute."""
    token = await office.tokens.create(ROOT, office.notes, "t", Role.VIEWER)
    begin = office.wall.now

    async def used() -> float | None:
        await office.tokens.find(token.secret.encode())
        return (await office.tokens.list_for(ROOT))[0].last_used_at

    assert await used() == begin
    office.wall.now += 30
    assert await used() == begin
    office.wall.now += 31
    assert await used() == begin + 61


async def test_a_session(office: Office) -> None:
    """Its cookie is of the strict kind; it ends when it is not used, and at the latest after half a day."""
    user = await office.hire("ada", Role.OPERATOR, PASSWORD)
    actor = Actor("ada", Role.OPERATOR, "user", user.id, session=True)
    session = await office.sessions.open(office.acting(user), office.notes)
    assert session.cookie == (
        f"{COOKIE}={session.token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={int(ABSOLUTE)}"
    )
    assert session.token not in repr(session)
    assert office.notes[-1] == Note("login", "admin_session", user.id)
    for _ in range(int(ABSOLUTE / (IDLE - 1))):
        office.wall.now += IDLE - 1
        assert await office.sessions.find(session.token) == actor
    office.wall.now = session.expires_at
    assert await office.sessions.find(session.token) is None
    idle = await office.sessions.open(office.acting(user), office.notes)
    office.wall.now += IDLE
    assert await office.sessions.find(idle.token) is None
    async with office.database.connect() as connection:
        assert idle.token not in str((await connection.execute(text("SELECT * FROM admin_sessions"))).all())


async def test_a_login_ends_the_session_before_it(office: Office) -> None:
    """No token is carried over a login, and a logout ends it at once."""
    user = await office.hire("ada", Role.VIEWER, PASSWORD)
    first = await office.sessions.open(office.acting(user), office.notes)
    second = await office.sessions.open(office.acting(user), office.notes, instead_of=first.token)
    assert first.token != second.token
    assert await office.sessions.find(first.token) is None
    await office.sessions.end(second.token)
    assert await office.sessions.find(second.token) is None
    for text_ in ("", "x", "' OR '1'='1", "\ud800"):
        assert await office.sessions.find(text_) is None


async def test_an_old_password_opens_nothing(office: Office) -> None:
    """Whoever was compared with a password that is another one by now gets no session after those that it had ended."""
    user = await office.hire("ada", Role.VIEWER, PASSWORD)
    known, _ = await office.users.credentials("ada")
    assert known is not None
    await office.sessions.open(office.acting(user), office.notes, version=known.version)
    await office.users.change(ROOT, office.notes, "ada", Changed(password=PASSWORD[::-1]))
    with pytest.raises(AdminOutdated):
        await office.sessions.open(office.acting(user), office.notes, version=known.version)
    fresh, _ = await office.users.credentials("ada")
    assert fresh is not None
    await office.users.change(ROOT, office.notes, "ada", Changed(disabled=True))
    with pytest.raises(AdminOutdated):
        await office.sessions.open(office.acting(user), office.notes, version=fresh.version)
    async with office.database.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM admin_sessions"))).scalar_one() == 0


async def test_an_id_is_nobody_elses(office: Office) -> None:
    """A user who is called like another's id is not taken for that one, whoever of them was there first."""
    ada = await office.hire("ada", Role.VIEWER, PASSWORD)
    shadow = await office.hire(ada.id, Role.ADMIN, PASSWORD)
    assert await office.users.get(ada.id) == ada
    async with office.database.begin() as connection:
        for word, id_ in (("name", shadow.id), ("id", ada.id)):
            await connection.execute(text(f"UPDATE admin_users SET {word} = 'zz' WHERE id = :id"), {"id": id_})
    assert (await office.users.get("zz")).name == "ada"


async def test_of_one_name_there_is_one_user(office: Office) -> None:
    """However it is written, and however many ask for it at once."""
    names = ["Ada", "ada", "ADA", "aDa", "ada", "Ada", "adA", "ada"]
    found = await asyncio.gather(
        *(office.users.create(ROOT, office.notes, name, Role.VIEWER, None) for name in names), return_exceptions=True
    )
    assert [type(one) for one in found].count(User) == 1
    assert [type(one) for one in found].count(AdminNameTaken) == len(names) - 1


async def test_a_session_of_the_admin_key_ends_with_it(office: Office) -> None:
    """Another key: whoever came in by the old one is out."""
    session = await office.sessions.open(ROOT, office.notes)
    assert await office.sessions.find(session.token) == Actor("admin", Role.ADMIN, "admin_key", session=True)
    changed = Sessions(office.database, "another key", office.wall)
    assert await changed.find(session.token) is None


async def test_what_is_over_is_taken_out(office: Office) -> None:
    """The next login clears up."""
    for _ in range(3):
        await office.sessions.open(ROOT, office.notes)
    office.wall.now += IDLE
    await office.sessions.open(ROOT, office.notes)
    async with office.database.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM admin_sessions"))).scalar_one() == 1
