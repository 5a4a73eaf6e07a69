"""REDIS_URL, read: what kind of store it names, where, and how to connect. Nothing here ever shows a credential."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from gateway.errors import OperatorError

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from gateway.storage.client import RedisOptions

Kind = Literal["server", "sentinel", "cluster"]
_FORMS = (
    "redis://[user:password@]host:port/db, rediss://… (TLS), unix:///path, "
    "redis+sentinel://host:26379,host:26379/master-name or redis+cluster://host:6379,host:6379"
)
_KINDS: Mapping[str, tuple[Kind, str]] = {
    "redis": ("server", "redis"),
    "rediss": ("server", "rediss"),
    "unix": ("server", "unix"),
    "redis+sentinel": ("sentinel", "redis"),
    "rediss+sentinel": ("sentinel", "rediss"),
    "redis+cluster": ("cluster", "redis"),
    "rediss+cluster": ("cluster", "rediss"),
}
_DEFAULT_PORT: Mapping[Kind, int] = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_DATABASE = re.compile(r"/?\d*/?")
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:\[\]\s]+)(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """A store. `settings` are keyword arguments of `make`, a class of connections; host and port may be replaced."""

    kind: Kind
    make: type[AbstractConnection]
    settings: Mapping[str, Any] = field(repr=False)
    hosts: tuple[tuple[str, int], ...] = ()
    """Sentinels, or nodes to ask for the map of a Cluster."""
    master: str = ""
    sentinel_auth: Mapping[str, str] = field(default_factory=dict, repr=False)
    """`username` and `password` for the Sentinels themselves."""


def read_address(url: str, options: RedisOptions) -> Address:
    """Raises OperatorError, which says what to write and never what was written."""
    scheme, _, rest = url.partition("://")
    if scheme not in _KINDS:
        raise OperatorError(f"REDIS_URL has a scheme that is not known; use {_FORMS}.")
    kind, base = _KINDS[scheme]
    if kind == "server":
        make, settings = _settings(url, options)
        return Address(kind, make, settings)
    authority, path, query = _parts(rest)
    user, _, listed = authority.rpartition("@")
    hosts = tuple(_host(text, kind) for text in listed.split(","))
    master, database = _path(kind, path)
    own = {"sentinel_username": "username", "sentinel_password": "password"} if kind == "sentinel" else {}
    words = parse_qsl(query, keep_blank_values=True)
    plain = urlencode([(name, value) for name, value in words if name not in own])
    first = listed.split(",")[0]
    make, settings = _settings(f"{base}://{user}{'@' if user else ''}{first}/{database}?{plain}", options)
    return Address(kind, make, settings, hosts, master, {own[name]: value for name, value in words if name in own})


def _parts(rest: str) -> tuple[str, str, str]:
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    return authority, path, query


def _path(kind: Kind, path: str) -> tuple[str, str]:
    """The master's name and the database."""
    words = [unquote(word) for word in path.split("/") if word]
    if kind == "cluster":
        if words not in ([], ["0"]):
            raise OperatorError("REDIS_URL names a database, but a Cluster has only one; leave the path out.")
        return "", "0"
    if not words or len(words) > 2 or not all(word.isdigit() for word in words[1:]):
        raise OperatorError(
            "REDIS_URL must end with the name that the Sentinels know the master by, and a database if it is not 0: "
            "redis+sentinel://host:26379,host:26379/master-name/0."
        )
    return words[0], words[1] if len(words) == 2 else "0"


def _host(text: str, kind: Kind) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or _DEFAULT_PORT[kind]) if found else 0
    if found is None or not 0 < port < 65536:
        raise OperatorError(
            f"REDIS_URL lists a host that cannot be read; separate host:port pairs by commas, and write special "
            f"characters of a password as %XX. Use {_FORMS}."
        )
    return found["host"].strip("[]"), port


def _settings(url: str, options: RedisOptions) -> tuple[type[AbstractConnection], dict[str, Any]]:
    """How redis-py connects to a URL of one server; its options are those of redis-py's connections."""
    # The package costs 60 ms to import: commands that need no Redis do not pay it.
    from redis.asyncio.connection import Connection, parse_url  # noqa: PLC0415

    try:
        found: dict[str, Any] = dict(parse_url(url))
        if not url.startswith("unix:") and not _DATABASE.fullmatch(urlsplit(url).path):
            # redis-py takes such a path for database 0: of a password with a bare `/` its first half would be the host.
            raise ValueError("the path is no number of a database")
        make: type[AbstractConnection] = found.pop("connection_class", Connection)
        settings = {
            **found,
            # One deadline of ours spans connect, write and read; redis-py's own would cost a task per command.
            "socket_timeout": None,
            "socket_connect_timeout": options.connect_timeout,
            "client_name": options.client_name,
            "decode_responses": False,
            "driver_info": None,
            "protocol": 2,
        }
        make(**settings)  # an option that it does not know is told now, not by the first command
    except Exception:  # whatever redis-py makes of it is the operator's to mend; its text may hold a part of a password
        raise OperatorError(
            f"REDIS_URL has a part or an option (after `?`) that cannot be read; write special characters of a "
            f"password as %XX. Use {_FORMS}."
        ) from None
    return make, settings
