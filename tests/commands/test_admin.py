"""`gateway admin`, `gateway audit` and `gateway rotate-encryption-key`, each as it is typed."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import insert, select

from gateway.audit.anchor import FILE, Anchor
from gateway.auth.tokens import Tokens
from gateway.cli import main
from gateway.registry.resources import history, rows
from gateway.registry.resources.records import Author
from gateway.settings import Settings
from gateway.storage.sql.resource_tables import credentials, providers
from gateway.vault import Vault
from gateway.vault.custody import open_custody
from tests.support.ledger import opened, sqlite_file
from tests.vault.conftest import fernet_key, settings_with


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command as a shell would, on a database of this test's own."""
    for name in ("DATABASE_URL", "REDIS_URL", "GATEWAY_CONFIG", "ENCRYPTION_KEY"):
        monkeypatch.delenv(name, raising=False)
    sqlite_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))

    def act(*arguments: str, stdin: str = "") -> Ran:
        monkeypatch.setattr(sys, "argv", ["gateway", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main()
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return act


def statement(directory: Path, sql: str) -> None:
    with closing(sqlite3.connect(directory / "gateway.db")) as connection:
        connection.execute(sql)
        connection.commit()


def test_users(run: Run) -> None:
    """Made with a password from standard input, changed, shut out and let in; the log has every step."""
    assert "There are no users yet" in run("admin", "users", "list").out
    made = run("admin", "users", "create", "ada", "--role", "operator", "--password", stdin="correct horse battery\n")
    assert (made.code, made.out) == (0, "User ada is created with the role operator.\n")
    assert run("admin", "users", "set", "ada", "--role", "admin").code == 0
    assert run("admin", "users", "disable", "ada").code == 0
    assert run("admin", "users", "list").out == "ada  admin  disabled\n"
    assert run("admin", "users", "enable", "ada").code == 0
    [user] = json.loads(run("admin", "users", "list", "--json").out)["users"]
    assert (user["name"], user["role"], user["disabled"], user["version"]) == ("ada", "admin", False, 4)
    assert "correct" not in str(user)
    log = [json.loads(line) for line in run("audit", "list", "--json", "--kind", "admin_user").out.splitlines()]
    assert [entry["action"] for entry in log] == ["update", "update", "update", "create"]
    assert all(entry["actor"].startswith("cli:") for entry in log)


def test_mistakes_say_what_to_do(run: Run) -> None:
    """Exit code 1 and one sentence."""
    assert run("admin", "users", "create", "ada").code == 0
    for arguments, told in (
        (("users", "create", "ada"), "There is a user ada already (use another name, or change that one)."),
        (("users", "create", "a b"), "A name has letters"),
        (("users", "create", "eve", "--password"), "A password has at least 12 characters (use a longer one)."),
        (("users", "disable", "eve"), "There is no such user"),
        (("tokens", "revoke", "x"), "There is no such token"),
        (("tokens", "create", "t", "--expires", "1999-01-01"), "--expires: this moment is over"),
    ):
        ran = run("admin", *arguments)
        assert ran.code == 1, arguments
        assert ran.err.startswith(told)
    assert run("admin", "users", "create", "eve", "--role", "god").code == 2


def test_tokens(run: Run, tmp_path: Path) -> None:
    """The secret alone on standard output, once; it opens until it is revoked."""
    made = run("admin", "tokens", "create", "deploy", "--role", "operator", "--expires", "30d")
    assert made.code == 0
    secret = made.out.strip()
    assert "not shown again" in made.err

    async def find() -> object:
        async with opened(f"sqlite:///{tmp_path / 'gateway.db'}") as database:
            return await Tokens(database).find(secret.encode())

    assert asyncio.run(find()) is not None
    [token] = json.loads(run("admin", "tokens", "list", "--json").out)["tokens"]
    assert (token["name"], token["role"], token["state"], token["prefix"]) == (
        "deploy",
        "operator",
        "active",
        secret[:12],
    )
    assert secret not in run("admin", "tokens", "list").out + run("audit", "export").out
    assert run("admin", "tokens", "revoke", token["id"]).code == 0
    assert asyncio.run(find()) is None
    both = json.loads(run("admin", "tokens", "create", "x", "--json").out)
    assert both["token"].startswith(both["prefix"])


def test_the_log_is_listed_and_exported(run: Run) -> None:
    """The newest first for people, all with their hashes for programs; filters compare."""
    assert run("audit", "list").out == "No entries.\n"
    run("admin", "users", "create", "ada")
    run("admin", "tokens", "create", "t")
    lines = run("audit", "list").out.splitlines()
    assert "create admin_token" in lines[0]
    assert "create admin_user" in lines[1]
    assert "(system)  key audit log" in lines[2]
    assert len(run("audit", "list", "--limit", "1").out.splitlines()) == 1
    entries = [json.loads(line) for line in run("audit", "export").out.splitlines()]
    assert [entry["seq"] for entry in entries] == [1, 2, 3]
    assert entries[2]["previous"] == entries[1]["hash"]
    assert entries[2]["time"].endswith("Z")
    for filters, count in (
        (("--action", "create"), 2),
        (("--kind", "admin_user"), 1),
        (("--resource", entries[1]["resource_id"]), 1),
        (("--actor", "%"), 0),
        (("--since", "24h"), 3),
        (("--until", "24h"), 0),
    ):
        assert len(run("audit", "export", *filters).out.splitlines()) == count, filters
    assert run("audit", "list", "--since", "yesterday").code == 1


def test_the_log_is_verified(run: Run, tmp_path: Path) -> None:
    """Exit code 0 for a log as it was written, 1 for one that was not, 2 where nobody can tell."""
    assert run("audit", "verify").out == "The audit log is intact: it has no entries.\n"
    run("admin", "users", "create", "ada")
    run("admin", "users", "create", "eve")
    good = run("audit", "verify")
    assert good.code == 0
    assert good.out.startswith("The audit log is intact: 3 entries, the last 3:")
    facts = json.loads(run("audit", "verify", "--json").out)
    assert (facts["intact"], facts["entries"], facts["keyed_from"], facts["faults"]) == (True, 3, 1, [])
    end = f"{facts['head']['seq']}:{facts['head']['hash']}"
    assert end in good.out
    assert run("audit", "verify", "--anchor", end).code == 0
    assert run("audit", "verify", "--anchor", f"2:{facts['head']['hash']}").code == 1
    assert run("audit", "verify", "--anchor", "2:3f").code == 2
    statement(tmp_path, "UPDATE audit_log SET actor = 'nobody' WHERE seq = 2")
    bad = run("audit", "verify")
    assert (bad.code, bad.out.splitlines()[0]) == (1, "entry 2 was altered")
    assert json.loads(run("audit", "verify", "--json").out)["faults"] == [
        {"seq": 2, "kind": "altered", "message": "entry 2 was altered"}
    ]


def test_a_log_whose_key_is_elsewhere(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is proven, with exit code 2, and what to do is said; a wrong key is said as well."""
    run("admin", "users", "create", "ada")
    kept = (tmp_path / "encryption.key").read_text().strip()
    (tmp_path / "encryption.key").unlink()
    ran = run("audit", "verify")
    assert (ran.code, "set the ENCRYPTION_KEY" in ran.out) == (2, True)
    monkeypatch.setenv("ENCRYPTION_KEY", fernet_key())
    ran = run("audit", "verify")
    assert (ran.code, "Set the right key" in ran.err) == (2, True)
    monkeypatch.setenv("ENCRYPTION_KEY", kept)
    assert run("audit", "verify").code == 0
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert run("audit", "verify").code == 2


def test_an_anchor_of_this_host_is_looked_at(run: Run, tmp_path: Path) -> None:
    """What the gateway noted beside the database counts without being named."""
    run("admin", "users", "create", "ada")

    async def anchor() -> None:
        async with opened(f"sqlite:///{tmp_path / 'gateway.db'}") as database:
            await Anchor(database, tmp_path).step()

    asyncio.run(anchor())
    assert run("audit", "verify").code == 0
    noted = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**noted, "seq": noted["seq"] + 1}))
    ran = run("audit", "verify")
    assert (ran.code, "which was anchored, is missing" in ran.out) == (1, True)


def test_an_encryption_key_is_rotated(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the generated key to one of the operator's: credentials, audit key and canary; the second time nothing is
    left to do, and the old key is needed by nobody."""
    settings = settings_with(tmp_path)
    stored = asyncio.run(_store(settings, tmp_path))
    run("admin", "users", "create", "ada")
    new = fernet_key()
    monkeypatch.setenv("ENCRYPTION_KEY", new)
    done = json.loads(run("rotate-encryption-key", "--json").out)
    assert (done["resealed"], done["damaged"], done["unfinished"]) == (3, [], False)
    (tmp_path / "encryption.key").unlink()
    ran = run("rotate-encryption-key")
    assert ran.code == 0
    assert ran.out.startswith(f"0 secrets were sealed anew; all that can be opened have the key {done['key']}")
    assert asyncio.run(_opened(settings_with(tmp_path, new), tmp_path)) == stored
    assert run("audit", "verify").code == 0
    [entry] = [json.loads(line) for line in run("audit", "export", "--kind", "encryption_key").out.splitlines()]
    assert entry["after"] == {"resealed": 3, "damaged": 0, "unfinished": False}
    assert asyncio.run(_revisions(tmp_path)) == [3, 2, 1]  # the credential, sealed anew, the canary


def test_what_cannot_be_rotated_is_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that no key opens: exit code 1, named by its place."""
    asyncio.run(_store(settings_with(tmp_path), tmp_path))
    statement(tmp_path, "UPDATE credentials SET secret = substr(secret, 1, length(secret) - 2)")
    monkeypatch.setenv("ENCRYPTION_KEY", fernet_key())
    ran = run("rotate-encryption-key")
    assert ran.code == 1
    assert "  credentials/c1 cannot be opened by any key given here" in ran.out.splitlines()
    monkeypatch.delenv("ENCRYPTION_KEY")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'other.db'}")
    ran = run("rotate-encryption-key")
    assert (ran.code, ran.err.startswith("ENCRYPTION_KEY is not set")) == (1, True)


SECRET = "sk-canary-9d21"


async def _store(settings: Settings, directory: Path) -> str:
    """One credential of one provider, sealed."""
    base = {"settings": {}, "details": {}, "observed": {}, "version": 1, "created_at": 0, "created_by": "t"}
    base |= {"updated_at": 0, "updated_by": "t"}
    async with opened(f"sqlite:///{directory / 'gateway.db'}") as database:
        vault = (await open_custody(database, settings)).vault
        async with database.begin() as connection:
            revision = await rows.next_revision(connection)
            await history.keep(connection, revision, 0.0, Author("t"), [], None)
            await connection.execute(insert(providers).values(id="p1", name="p", **base))
            sealed = vault.seal(SECRET, context="credentials/c1")
            row = {"id": "c1", "name": "c", "provider_id": "p1", "secret": sealed, **base}
            await connection.execute(insert(credentials).values(row))
    return SECRET


async def _opened(settings: Settings, directory: Path) -> str:
    async with opened(f"sqlite:///{directory / 'gateway.db'}") as database:
        vault: Vault = (await open_custody(database, settings)).vault
        async with database.connect() as connection:
            token = (await connection.execute(select(credentials.c.secret))).scalar_one()
    return vault.unseal(token, context="credentials/c1")


async def _revisions(directory: Path) -> list[int]:
    async with opened(f"sqlite:///{directory / 'gateway.db'}") as database, database.connect() as connection:
        return [found.revision for found in await history.revisions(connection, None, 10)]


def test_passwords_are_read_from_a_terminal(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """Asked for twice; two that differ make no user."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    words = iter(["correct horse battery", "correct horse batterz"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(words))
    monkeypatch.setattr(io, "StringIO", Terminal)
    ran = run("admin", "users", "create", "ada", "--password")
    assert (ran.code, ran.err) == (1, "The two passwords are not the same. Try again.\n")
