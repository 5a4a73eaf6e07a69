"""`gateway keys`: what people and programs get, with and without a gateway that runs."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.auth.issue import Issuer
from gateway.auth.keyring import Keyring
from gateway.auth.mirror import Mirror
from gateway.auth.store import Keys
from gateway.cli import main
from gateway.commands import key_words as words
from gateway.errors import GatewayError, KeyExpired, OperatorError
from gateway.registry import dates
from gateway.registry.snapshot import Snapshot
from gateway.storage.embedded import EmbeddedRedis, running_url
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.sql.database import Database
from tests.registry.resources.support import Office
from tests.support import postgres

EMPTY = Snapshot("rev")
SECRET = re.compile(r"gw-[A-Za-z0-9_-]{43}\n")
T = TypeVar("T")


class Run:
    """Calls `main` as the launcher does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: Path) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.state = state

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self._monkeypatch.setattr(sys, "argv", ["gateway", "keys", *arguments])
        code = main()
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def json(self, *arguments: str) -> Any:
        """What it prints for programs."""
        code, out, err = self(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command, with state of this test's own and no configuration but the built-in one."""
    for name in ("REDIS_URL", "DATABASE_URL", "GATEWAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "state"))
    return Run(monkeypatch, capsys, tmp_path / "state")


@pytest.fixture
def server(run: Run) -> Iterator[EmbeddedRedis]:
    """The store of a gateway that runs here, as `gateway serve` starts it; its mirror has had its first round."""
    found = EmbeddedRedis(run.state)
    found.start()
    try:
        assert run("list")[0] == 0
        with_store(run, found.url, lambda client: mirror_round(run, client))
        yield found
    finally:
        found.stop()


def with_store(run: Run, url: str, act: Callable[[RedisClient], Awaitable[T]]) -> T:
    """Do something with the running gateway's store."""

    async def go() -> T:
        client = connect(url, RedisOptions(timeout=10.0))
        try:
            return await act(client)
        finally:
            await client.close()

    return asyncio.run(go())


async def mirror_round(run: Run, client: RedisClient) -> None:
    """What the bookkeeper does every two seconds."""
    database = Database(run.state / "gateway.db")
    await Mirror(Issuer(database), Keyring(client)).step()
    await database.close()


def who(run: Run, server: EmbeddedRedis, secret: str, later: float = 0.0) -> str:
    """The name of the key that a worker finds for this secret, or the reason of its refusal."""

    async def find(client: RedisClient) -> str:
        try:
            return (await Keys(client, wall=lambda: time.time() + later).find(EMPTY, secret.encode())).key
        except GatewayError as refused:
            return refused.reason

    return with_store(run, server.url, find)


def test_create_prints_the_secret_once(run: Run) -> None:
    """Alone on standard output, so that a script can take it; what people should know goes beside it."""
    code, out, err = run("create", "--name", "ci")
    assert code == 0
    assert SECRET.fullmatch(out)
    assert err.startswith("Key ci is created. No gateway was told now")
    shown = "".join(run("list")[1:]) + json.dumps(run.json("list"))
    assert out[:11] in shown
    assert out[11:].strip() not in shown


def test_every_option_arrives(run: Run) -> None:
    """In the notation of the configuration file."""
    options = (
        "--name ci --team research --models gpt-4o*,fast --services chat,embeddings --requests 60/min "
        "--tokens 100k/min --concurrency 5 --budget 100/month "
        "--quota tokens=5M/day,soft=0.8,action=throttle,throttle_to=1/s "
        "--quota cost=9/week,action=downgrade:mini,zone=Europe/Berlin --metadata owner=ada --metadata a=b=c "
        "--expires 30d"
    )
    made = run.json("create", *options.split())
    assert SECRET.fullmatch(made.pop("secret") + "\n")
    assert made.pop("told") is False
    assert run.json("list") == {"keys": [made]}
    assert (made["name"], made["state"], made["team"]) == ("ci", "active", "research")
    assert (made["models"], made["services"]) == (["gpt-4o*", "fast"], ["chat", "embeddings"])
    assert made["limits"] == {"requests": "60/min", "tokens": "100k/min", "concurrency": 5}
    assert made["quotas"] == [
        {"period": "month", "cost": "100"},
        {"period": "day", "tokens": "5M", "soft": "0.8", "action_on_exceed": "throttle", "throttle_to": "1/s"},
        {"period": "week", "cost": "9", "action_on_exceed": {"downgrade": "mini"}, "zone": "Europe/Berlin"},
    ]
    assert made["metadata"] == {"owner": "ada", "a": "b=c"}
    days = (dates.moment(made["expires_at"]) - dates.moment(made["created_at"])) / 86400
    assert 29.9 < days < 30.1
    assert made["created_by"].startswith("cli:")


def test_list_is_a_table(run: Run) -> None:
    """A line for each key, aligned; a hint while there is none."""
    assert "gateway keys create" in run("list")[1]
    assert run.json("list") == {"keys": []}
    run("create", "--name", "b", "--requests", "5/s", "--budget", "20/day")
    run("create", "--name", "a-longer-name", "--models", "x,y", "--expires", "2099-01-01")
    run("revoke", "b")
    head, first, second = run("list")[1].splitlines()
    assert head.split() == ["NAME", "SECRET", "STATE", "TEAM", "MODELS", "LIMITS", "EXPIRES"]
    assert re.fullmatch(r"a-longer-name  gw-.{8}…  active   -     x,y     -  +2099-01-01T00:00:00Z", first)
    assert re.fullmatch(r"b +gw-.{8}…  revoked  -     all     5/s requests, 20 USD/day  never", second)


def test_a_running_gateway_is_told(run: Run, server: EmbeddedRedis) -> None:
    """Created, rotated and revoked keys work, and stop working, at once."""
    first = run.json("create", "--name", "ci")
    assert first["told"] is True
    assert who(run, server, first["secret"]) == "ci"
    second = run.json("rotate", "ci", "--grace", "10m")
    assert who(run, server, first["secret"]) == who(run, server, second["secret"]) == "ci"
    assert who(run, server, first["secret"], later=601) == KeyExpired().reason
    code, out, err = run("revoke", "ci")
    assert (code, out, err) == (0, "Key ci is revoked.\n", "")
    for secret in (first["secret"], second["secret"]):
        assert who(run, server, secret) == "invalid_api_key"


def test_a_gateway_that_starts_later_knows(run: Run) -> None:
    """What was done while none ran is in the database, and comes to Redis with the first round."""
    ci = run.json("create", "--name", "ci")["secret"]
    old = run.json("create", "--name", "old")["secret"]
    assert run("revoke", "old")[1].startswith("Key old is revoked. No gateway was told now")
    server = EmbeddedRedis(run.state)
    server.start()
    try:
        assert who(run, server, ci) == "auth_unavailable"
        with_store(run, server.url, lambda client: mirror_round(run, client))
        assert who(run, server, ci) == "ci"
        assert who(run, server, old) == "invalid_api_key"
    finally:
        server.stop()


def test_a_redis_that_is_away(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The change is made all the same, and the answer says that nobody was told."""
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path}/nobody.sock")
    assert run.json("create", "--name", "ci")["told"] is False
    assert run.json("revoke", "ci")["state"] == "revoked"


def test_rotate(run: Run) -> None:
    """The new secret alone on standard output; until when the old one works, beside it."""
    run("create", "--name", "ci")
    code, out, err = run("rotate", "ci")
    assert code == 0
    assert SECRET.fullmatch(out)
    assert "The one before it works until " in err
    assert "works until" not in run("rotate", "ci", "--grace", "0")[2]
    assert run.json("list")["keys"][0]["rotated_at"] is not None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "--name", "a b"], "name: a name is 1 to 64"),
        (["create", "--name", "a", "--requests", "many"], "limits.requests: expected a rate"),
        (["create", "--name", "a", "--concurrency", "0"], "limits.concurrency: "),
        (["create", "--name", "a", "--budget", "100"], "--budget: write USD per period"),
        (["create", "--name", "a", "--budget", "100/fortnight"], "quotas.0.period: "),
        (["create", "--name", "a", "--quota", "tokens"], "--quota: write an amount"),
        (["create", "--name", "a", "--quota", "tokens=1/day,cost=2/day"], "--quota: write an amount"),
        (["create", "--name", "a", "--quota", "soft=0.8"], "quotas.0.period: "),
        (["create", "--name", "a", "--metadata", "owner"], "--metadata: write name=value"),
        (["create", "--name", "a", "--expires", "soon"], "--expires: write how long"),
        (["create", "--name", "a", "--expires", "2020-01-01"], "--expires: this moment is over"),
        (["create", "--name", "a", "--expires", "99999999999d"], "--expires: this is after the year 9999"),
        (["create", "--name", "a", "--expires", "9999999d"], "--expires: this is after the year 9999"),
        (["create", "--name", "a", "--services", "caht"], "services.0: this is none of the known words; did you mean"),
        (["create", "--name", "a", "--concurrency", "0"], "limits.concurrency: the value must be at least 1"),
        (
            ["create", "--name", "a", "--models", "m", "--quota", "requests=1/day,action=downgrade:m"],
            "quotas.0.action_on_exceed.downgrade: this is the only model that the quota is for",
        ),
        (["rotate", "a", "--grace", "a while"], "--grace: expected a duration"),
        (["rotate", "a", "--grace", "366d"], "--grace: at most 365d"),
        (["rotate", "a"], "There is no key `a`"),
        (["revoke", "a"], "There is no key `a`"),
    ],
)
def test_mistakes_say_what_to_do(run: Run, arguments: list[str], told: str) -> None:
    """On standard error, exit code 1, nothing changed."""
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith(told)
    assert run.json("list") == {"keys": []}


def test_a_name_of_the_file_is_refused(run: Run, tmp_path: Path) -> None:
    """The file's key would win, and the new one never work."""
    path = tmp_path / "gateway.yaml"
    path.write_text(f"version: 1\nproviders: {{mock: {{type: mock}}}}\nkeys: [{{name: ci, secret: {'x' * 32}}}]\n")
    code, _, err = run("create", "--name", "ci", "--config", str(path))
    assert code == 1
    assert "the file wins" in err
    assert run("create", "--name", "app", "--config", str(path))[0] == 0


def test_a_team_that_the_file_lacks_is_told(run: Run, tmp_path: Path) -> None:
    """The key is made, and a note says that no limits of a team bind it; there is none for a team that is declared."""
    path = tmp_path / "gateway.yaml"
    path.write_text("version: 1\nproviders: {mock: {type: mock}}\nteams: [{name: research}]\n")
    code, out, err = run("create", "--name", "a", "--team", "reserch", "--config", str(path))
    assert code == 0
    assert SECRET.fullmatch(out)
    assert err.startswith(f"Note: {path} has no team reserch")
    assert "Note" not in run("create", "--name", "b", "--team", "research", "--config", str(path))[2]
    assert "Note" not in run("create", "--name", "c", "--team", "research")[2]


def test_a_quota_switches_only_to_a_model_that_there_is(run: Run, tmp_path: Path) -> None:
    """Of a file that is all there is, an unknown model is refused; what the database adds is not for this command to
    judge."""
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "version: 1\nproviders: {mock: {type: mock, models: [mock-small]}}\naliases: {cheap: mock/mock-small}\n"
    )
    create = ("create", "--config", str(path), "--quota")
    code, out, err = run(*create, "requests=1/day,action=downgrade:mock-smal", "--name", "a")
    assert (code, out) == (1, "")
    assert err.startswith(
        "--quota: no route and no provider has a model `mock-smal`; did you mean `mock-small`? (name one"
    )
    assert run.json("list") == {"keys": []}
    assert run(*create, "requests=1/day,action=downgrade:cheap", "--name", "b")[0] == 0

    async def add() -> None:
        database = Database(run.state / "gateway.db")
        try:
            await Office(database).provider()
        finally:
            await database.close()

    asyncio.run(add())
    assert run(*create, "requests=1/day,action=downgrade:mock-smal", "--name", "c")[0] == 0


def test_a_database_that_cannot_be_used(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One sentence with the variable to look at, and neither a traceback nor the password."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:hunter2@/none?host={tmp_path}")
    code, out, err = run("list")
    assert (code, out) == (1, "")
    assert "DATABASE_URL" in err
    assert "hunter2" not in err


def test_postgresql_is_migrated_on_purpose(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared server without our tables is left as it is; the message names the command that makes them."""
    with postgres.server() as server:
        url = server.create()
        monkeypatch.setenv("DATABASE_URL", url)
        code, _, err = run("create", "--name", "ci")
        assert code == 1
        assert "gateway migrate" in err
        from gateway.storage.sql.migrate import migrate  # noqa: PLC0415

        migrate(url)
        assert run.json("create", "--name", "ci")["name"] == "ci"
        assert [key["name"] for key in run.json("list")["keys"]] == ["ci"]


def test_words() -> None:
    """Lists, budgets and moments as people write them."""
    assert words.listed(" a, b,,c ") == ["a", "b", "c"]
    assert words.listed(None) is None
    assert words.budget("$5 / day") == {"period": "day", "cost": "5"}
    assert words.moment("90s", 1000.0) == 1090.0
    assert words.moment("1970-01-02", 0.0) == 86400.0
    assert words.iso(86400.0) == "1970-01-02T00:00:00Z"
    assert words.iso(1e15) == "9999-12-31T00:00:00Z"
    with pytest.raises(OperatorError):
        words.moment("1970-01-01", 0.0)


def test_no_server_no_address(tmp_path: Path) -> None:
    """A data directory without a running server has no address, and is left as it is."""
    assert running_url(tmp_path / "none") is None
    (tmp_path / "redis").mkdir()
    assert running_url(tmp_path) is None
    assert list(tmp_path.iterdir()) == [tmp_path / "redis"]
