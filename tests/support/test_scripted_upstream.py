"""The scripted upstream itself, where other tests rely on it without looking."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING

import pytest

from .steps import close, cut, json_reply, reset, sse, status
from .tls import Authority
from .upstream import ScriptedUpstream

if TYPE_CHECKING:
    from pathlib import Path


def _get(up: ScriptedUpstream, body: bytes = b"hi") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=5)
    try:
        connection.request("POST", "/x", body)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_it_runs_in_a_thread_of_its_own() -> None:
    """Scripts answer in order, then the default does; requests and connections are recorded."""
    with ScriptedUpstream(status(503, b"no"), sse([{"a": 1}]), default=lambda got: json_reply(got.body)) as up:
        assert _get(up) == (503, b"no")
        assert _get(up) == (200, b'data: {"a": 1}\n\ndata: [DONE]\n\n')
        assert _get(up, b"echo") == (200, b"echo")
        assert [request.body for request in up.received] == [b"hi", b"hi", b"echo"]
        up.wait_until(lambda: up.disconnections == 3)


def test_it_breaks_off_as_told() -> None:
    """A cut reply ends after its bytes, in order or with a reset."""
    with ScriptedUpstream(cut(status(200, b"abcdef"), 47, close()), [reset()]) as up:
        with pytest.raises(http.client.IncompleteRead):
            _get(up)
        with pytest.raises(ConnectionResetError):
            _get(up)


def test_a_fault_of_a_script_is_recorded() -> None:
    """An exception in a script closes the connection and stands in `errors`."""

    def broken(_: object) -> list[object]:
        raise LookupError

    with ScriptedUpstream(broken) as up:  # type: ignore[arg-type]  # it never returns
        with pytest.raises(http.client.RemoteDisconnected):
            _get(up)
        up.wait_until(lambda: [type(error) for error in up.errors] == [LookupError])


def test_it_speaks_tls(tmp_path: Path) -> None:
    """With a server context of the test authority a client that trusts it gets through."""
    authority = Authority(tmp_path)
    with ScriptedUpstream(tls=authority.server_context("localhost")) as up:
        context = ssl.create_default_context(cafile=str(authority.ca_file))
        connection = http.client.HTTPSConnection("localhost", up.port, context=context, timeout=5)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b'{"ok": true}'
        connection.close()
