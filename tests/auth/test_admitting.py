"""Who comes in by which carrier, from which page, under which name."""

from __future__ import annotations

import pytest

from gateway.auth.admins import Role, least
from gateway.auth.admitting import (
    CSRF_HEADER,
    Carried,
    carried,
    has_csrf_token,
    host_is_allowed,
    host_is_sane,
    is_same_origin,
    session_of,
)
from gateway.auth.sessions import COOKIE, csrf_of


def test_roles_cover_what_is_below_them() -> None:
    """Each covers itself and those before it; of two the lesser is what both cover."""
    viewer, operator, admin = Role.VIEWER, Role.OPERATOR, Role.ADMIN
    assert [[one.covers(other) for other in Role] for one in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
    assert least(admin, viewer) is least(viewer, operator) is viewer
    assert least(admin, operator) is operator


def test_a_header_is_meant_a_cookie_is_not() -> None:
    """Where both come, the header decides: the browser adds cookies unasked."""
    headers = {b"cookie": f"{COOKIE}=abc; other=1".encode()}
    assert carried(headers, b"gwt-1") == Carried(b"gwt-1", None)
    assert carried(headers, None) == Carried(None, "abc")
    assert carried({}, None) == Carried()


@pytest.mark.parametrize("text", [b"", b"other=1", f"{COOKIE}=".encode(), b"\xff\xfe", f"x{COOKIE}=abc".encode()])
def test_cookies_without_a_session(text: bytes) -> None:
    """What is no cookie of ours is none."""
    assert session_of({b"cookie": text}) is None


@pytest.mark.parametrize("host", [b"h", b"h:80", b"gw.example.com", b"127.0.0.1:8080", b"[::1]:8080", b"a_b-c.d"])
def test_sane_hosts(host: bytes) -> None:
    """Names and addresses, with or without a port."""
    assert host_is_sane({b"host": host})


@pytest.mark.parametrize("host", [b"", b"h/?", b"h/#", b"h/#@x", b"a@b", b"h:x", b"h:123456", b"h h", b"[::1", b"h\\"])
def test_hosts_that_want_to_be_misread(host: bytes) -> None:
    """Anything else is refused, wherever the gateway listens."""
    assert not host_is_sane({b"host": host})


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        (b"localhost:8080", None, True),
        (b"127.0.0.1", b"http://localhost:3000", True),
        (b"[::1]:8080", None, True),
        (b"gw.example.com", None, True),
        (b"evil.example", None, False),
        (b"localhost.evil.example", None, False),
        (b"localhost", b"https://evil.example", False),
        (b"localhost", b"null", False),
        (b"gw.example.com", b"https://evil.example", False),
        (b"127.0.0.1@evil.example", None, False),
        (b"127.0.0.1/x", None, False),
        (b"", None, False),
    ],
)
def test_names_on_loopback(host: bytes, origin: bytes | None, allowed: bool) -> None:
    """A page that resolves its own name to this machine says that name, and stays out."""
    headers = {b"host": host} | ({} if origin is None else {b"origin": origin})
    assert host_is_allowed(headers, {"gw.example.com"}) is allowed


@pytest.mark.parametrize(
    ("headers", "reads", "writes"),
    [
        ({b"sec-fetch-site": b"same-origin"}, True, True),
        ({b"sec-fetch-site": b"none"}, True, False),
        ({b"sec-fetch-site": b"same-site"}, False, False),
        ({b"sec-fetch-site": b"cross-site"}, False, False),
        ({b"sec-fetch-site": b"cross-site", b"origin": b"http://h:1"}, False, False),
        ({}, True, False),
        ({b"origin": b"http://h:1"}, True, True),
        ({b"origin": b"https://h:1"}, True, True),
        ({b"origin": b"http://h:2"}, False, False),
        ({b"origin": b"http://h"}, False, False),
        ({b"origin": b"null"}, False, False),
        ({b"origin": b"file://h:1"}, False, False),
        ({b"origin": b"http://[bad"}, False, False),
    ],
)
def test_pages_that_may_use_a_cookie(headers: dict[bytes, bytes], reads: bool, writes: bool) -> None:
    """Only a page of ours changes something, and says so."""
    headers = {b"host": b"h:1", **headers}
    assert is_same_origin(headers, "GET") is reads
    assert is_same_origin(headers, "POST") is is_same_origin(headers, "DELETE") is writes


def test_what_changes_something_shows_the_token() -> None:
    """The session's own; reading needs none."""
    right = {CSRF_HEADER: csrf_of("abc").encode()}
    assert has_csrf_token({}, "abc", "GET")
    assert has_csrf_token(right, "abc", "PATCH")
    for headers in ({}, {CSRF_HEADER: b""}, {CSRF_HEADER: csrf_of("abd").encode()}):
        assert not has_csrf_token(headers, "abc", "PATCH")
