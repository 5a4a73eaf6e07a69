"""TLS of both engines: verified always, by name, with the operator's authority if one is given."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import pytest
import structlog

from gateway.errors import UpstreamTlsFailed, UpstreamUnreachable
from gateway.ports import Endpoint
from tests.support.steps import json_reply, raw_reply
from tests.support.tls import Authority
from tests.support.upstream import ScriptedUpstream

from .calls import fetch, post

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.ports import Engine


def _endpoint(up: ScriptedUpstream, authority: Authority, host: str = "provider.test") -> Endpoint:
    return Endpoint(
        host, up.port, tls=True, ca_file=str(authority.ca_file), pinned_ip="127.0.0.1", private_network=True
    )


async def test_a_trusted_certificate_is_accepted(engine: Engine, authority: Authority) -> None:
    """The operator's authority signed it and the name matches: requests pass, on one connection."""
    large = b"x" * 300_000
    tls = authority.server_context("provider.test")
    async with ScriptedUpstream(default=lambda request: json_reply(request.body), tls=tls) as up:
        for _ in range(3):
            assert await fetch(engine, post(_endpoint(up, authority), (large,))) == (200, large)
        assert up.connections == 1


async def test_an_address_without_pin_is_verified_too(engine: Engine, authority: Authority) -> None:
    """A host that is an address needs a certificate for that address."""
    async with ScriptedUpstream(tls=authority.server_context("127.0.0.1")) as up:
        where = Endpoint("127.0.0.1", up.port, tls=True, ca_file=str(authority.ca_file), private_network=True)
        assert (await fetch(engine, post(where)))[0] == 200


async def test_the_name_is_sent_though_the_address_is_pinned(engine: Engine, authority: Authority) -> None:
    """SNI carries the host's name, not the pinned address."""
    context = authority.server_context("provider.test")
    names: list[str | None] = []
    context.sni_callback = lambda _, name, __: names.append(name)
    async with ScriptedUpstream(tls=context) as up:
        await fetch(engine, post(_endpoint(up, authority)))
    assert names == ["provider.test"]


@pytest.mark.parametrize("expired", [False, True])
async def test_a_wrong_name_or_an_expired_certificate_is_refused(
    engine: Engine, authority: Authority, expired: bool
) -> None:
    """A certificate for another host, or one out of date, is UpstreamTlsFailed and no request is sent."""
    name = "provider.test" if expired else "other.test"
    async with ScriptedUpstream(tls=authority.server_context(name, expired=expired)) as up:
        with pytest.raises(UpstreamTlsFailed):
            await fetch(engine, post(_endpoint(up, authority)))
        assert up.received == []


async def test_an_unknown_authority_is_refused(engine: Engine, authority: Authority, tmp_path: Path) -> None:
    """A certificate from an authority that is not the configured one, or not the system's, is UpstreamTlsFailed."""
    stranger = Authority(tmp_path, "stranger")
    async with ScriptedUpstream(tls=stranger.server_context("provider.test")) as up:
        with pytest.raises(UpstreamTlsFailed):
            await fetch(engine, post(_endpoint(up, authority)))
        with pytest.raises(UpstreamTlsFailed):
            await fetch(
                engine, post(Endpoint("provider.test", up.port, tls=True, pinned_ip="127.0.0.1", private_network=True))
            )
        assert up.received == []


async def test_a_plain_upstream_is_no_tls_upstream(engine: Engine, authority: Authority) -> None:
    """Speaking TLS to a server that does not is UpstreamTlsFailed."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw_reply(400, b"plain HTTP here"))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UpstreamTlsFailed):
            await fetch(
                engine,
                post(Endpoint("127.0.0.1", port, tls=True, ca_file=str(authority.ca_file), private_network=True)),
            )


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("heard", [False, True])
async def test_a_handshake_that_breaks_is_no_failure_of_tls(
    engine: Engine, authority: Authority, end: str, heard: bool
) -> None:
    """A connection that ends during the handshake, at once or in answer to the greeting, is an upstream out of reach:
    it says nothing about certificates."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if heard:
            await reader.read(1)
        if end == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        else:
            await reader.read(2000)
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        where = Endpoint("127.0.0.1", port, tls=True, ca_file=str(authority.ca_file), private_network=True)
        with pytest.raises(UpstreamUnreachable) as caught:
            await fetch(engine, post(where))
        assert caught.value.outcome == "connect_refused"


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_an_unusable_ca_file_is_a_tls_failure(engine: Engine, tmp_path: Path, content: str | None) -> None:
    """A missing or broken bundle fails the request and is named in the log; nothing falls back to other authorities."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    with structlog.testing.capture_logs() as logs, pytest.raises(UpstreamTlsFailed):
        await fetch(
            engine,
            post(
                Endpoint("provider.test", 9, tls=True, ca_file=str(bundle), private_network=True, pinned_ip="127.0.0.1")
            ),
        )
    assert [(line["event"], line["ca_file"]) for line in logs] == [("ca_file_unusable", str(bundle))]
    assert content is not None or logs[0]["reason"] == "No such file or directory"
