"""REDIS_URL: every form is read, every mistake is explained, and no credential is ever shown."""

from __future__ import annotations

import pytest
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

from gateway.errors import OperatorError
from gateway.storage.address import read_address
from gateway.storage.cluster import ClusterClient
from gateway.storage.node import NodeClient
from gateway.storage.redis import RedisOptions, connect
from gateway.storage.sentinel import Sentinels, follow_master

OPTIONS = RedisOptions()
SECRET = "p@ss/w:rd"  # what `p%40ss%2Fw%3Ard` says
QUOTED = "p%40ss%2Fw%3Ard"


@pytest.mark.parametrize(
    ("url", "make", "facts"),
    [
        ("redis://h:1/2", Connection, {"host": "h", "port": 1, "db": 2}),
        (f"rediss://:{QUOTED}@h", SSLConnection, {"host": "h", "password": SECRET}),
        ("unix:///tmp/a%20b?db=3", UnixDomainSocketConnection, {"path": "/tmp/a b", "db": 3}),
    ],
)
def test_one_server(url: str, make: type, facts: dict[str, object]) -> None:
    """A URL of one server is read as redis-py reads it."""
    address = read_address(url, OPTIONS)
    assert (address.kind, address.make) == ("server", make)
    assert facts.items() <= address.settings.items()


@pytest.mark.parametrize(
    ("url", "make", "database"),
    [("redis+sentinel://a:1,b/main", Connection, 0), (f"rediss+sentinel://u:{QUOTED}@a:1,b/main/4", SSLConnection, 4)],
)
def test_sentinel(url: str, make: type, database: int) -> None:
    """Sentinels are listed, the master is named, and the credentials are the master's."""
    address = read_address(url, OPTIONS)
    assert (address.kind, address.make, address.master) == ("sentinel", make, "main")
    assert address.hosts == (("a", 1), ("b", 26379))
    assert int(address.settings.get("db", 0)) == database
    assert address.settings.get("password") == (SECRET if "@" in url else None)
    assert isinstance(connect(url), NodeClient)


def test_credentials_of_sentinels() -> None:
    """Sentinels may have credentials of their own; other options reach the connection."""
    url = "redis+sentinel://u:p@a/main?sentinel_username=su&sentinel_password=sp&socket_keepalive=false"
    address = read_address(url, OPTIONS)
    assert address.sentinel_auth == {"username": "su", "password": "sp"}
    assert address.settings["socket_keepalive"] is False
    assert "sentinel_password" not in address.settings


def test_cluster() -> None:
    """Nodes of a Cluster are listed, IPv6 among them; a query holds for each."""
    address = read_address("rediss+cluster://u:p@a:7000,[::1]:7001,c?ssl_check_hostname=false", OPTIONS)
    assert address.hosts == (("a", 7000), ("::1", 7001), ("c", 6379))
    assert address.settings["username"] == "u"
    assert isinstance(connect("redis+cluster://a,b"), ClusterClient)
    assert connect("redis+cluster://a,b").cluster
    assert not connect("redis://a").cluster


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("canary", "redis://"),
        ("canary://h", "rediss://"),
        ("canary:canary@h:6379", r"redis\+cluster://"),
        ("http://u:canary@h", r"redis\+sentinel://"),
        ("redis://u:canary#x@h:1", "%XX"),
        ("redis://u:canary@h:notaport", "%XX"),
        ("redis://u:p@canary/w@h:6379", "%XX"),
        ("redis://h:6379/canary", "%XX"),
        ("redis://u:canary@h?nonsense=canary", "option"),
        ("redis+cluster://u:canary@a:1/3", "only one"),
        ("redis+cluster://u:canary@a:99999", "host:port"),
        ("redis+cluster://u:canary/x@a:1", "REDIS_URL"),
        ("redis+cluster://", "host:port"),
        ("redis+sentinel://u:canary@a:1", "master-name"),
        ("redis+sentinel://u:canary@a:1/main/x", "master-name"),
        ("redis+sentinel://u:canary@a:1,,b/main", "commas"),
    ],
)
def test_mistakes(url: str, hint: str) -> None:
    """What cannot be read is told with the form to write, and without a word of what was written."""
    with pytest.raises(OperatorError, match=hint) as caught:
        connect(url)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:canary@h:1",
        "redis+sentinel://user:canary@h:1/main?sentinel_password=canary",
        "redis+cluster://user:canary@h:1",
    ],
)
def test_nothing_shows_a_password(url: str) -> None:
    """Neither address nor client nor connection shows a credential when printed."""
    address = read_address(url, OPTIONS)
    client = connect(url)
    shown = [repr(address), repr(client), str(client), repr(client.connection())]
    if address.kind == "sentinel":
        shown += [repr(Sentinels(address)), repr(follow_master(address)())]
    assert not [text for text in shown if "canary" in text]
