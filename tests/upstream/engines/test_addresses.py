"""The address check: what a name resolves to is looked at, every address of it, and nothing else is connected to."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from gateway.errors import (
    UpstreamAddressForbidden,
    UpstreamConnectTimeout,
    UpstreamDnsFailed,
    UpstreamTlsFailed,
    UpstreamUnreachable,
)
from gateway.ports import Endpoint
from gateway.upstream.addresses import first_to_answer, interleaved
from gateway.upstream.engines import httptools_engine, httpx2_engine
from gateway.upstream.engines.httptools_engine import HttptoolsEngine
from gateway.upstream.engines.httpx2_engine import Httpx2Engine
from gateway.upstream.lookups import resolve
from tests.support.steps import raw_head, send, stall
from tests.support.upstream import ScriptedUpstream
from tests.test_addresses import SPELLINGS

from .calls import fetch, post, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from tests.support.tls import Authority

    Engine = HttptoolsEngine | Httpx2Engine

PUBLIC, LOOPBACK, METADATA = "93.184.215.14", "127.0.0.1", "169.254.169.254"


class Names:
    """A resolver that gives one answer after the other, and the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Sequence[str]] = []
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture(params=["httptools", "httpx2"])
async def guarded(request: pytest.FixtureRequest, names: Names) -> AsyncIterator[Engine]:
    """An engine that asks `names`."""
    engine = (HttptoolsEngine if request.param == "httptools" else Httpx2Engine)(names)
    yield engine
    await engine.close()


def _at(up: ScriptedUpstream, *, private: bool = True) -> Endpoint:
    return Endpoint("provider.test", up.port, tls=False, private_network=private)


async def test_a_private_address_needs_permission(guarded: Engine, names: Names) -> None:
    """A name that resolves to this machine is refused before anything is connected, unless the endpoint may be there;
    then a connection is made, and kept without another look."""
    names.answers = [[LOOPBACK]]
    async with ScriptedUpstream() as up:
        with pytest.raises(UpstreamAddressForbidden) as caught:
            await fetch(guarded, post(_at(up, private=False)))
        assert (up.connections, caught.value.outcome) == (0, "address_forbidden")
        names.asked.clear()
        for _ in range(5):
            assert (await fetch(guarded, post(_at(up))))[0] == 200
        assert (up.connections, names.asked) == (1, ["provider.test"])
        assert dict(up.received[0].headers)["host"] == "provider.test"


@pytest.mark.parametrize("answer", [[METADATA], [LOOPBACK, METADATA], [METADATA, LOOPBACK], [f"::ffff:{METADATA}"]])
async def test_metadata_addresses_stay_denied(guarded: Engine, names: Names, answer: list[str]) -> None:
    """One metadata address among the answers is enough, whatever the endpoint may do."""
    names.answers = [answer]
    async with ScriptedUpstream() as up:
        with pytest.raises(UpstreamAddressForbidden):
            await fetch(guarded, post(_at(up)))
        assert up.connections == 0


async def test_every_address_is_looked_at(guarded: Engine, names: Names) -> None:
    """A private address behind a public one is found."""
    names.answers = [[PUBLIC, LOOPBACK]]
    async with ScriptedUpstream() as up:
        with pytest.raises(UpstreamAddressForbidden):
            await fetch(guarded, post(_at(up, private=False)))
        assert up.connections == 0


async def test_a_rebinding_name_gets_no_connection(
    guarded: Engine, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is checked and private right after is resolved once for each connection, which goes
    to the address that was checked: over 100 changes nobody comes to the private one."""
    gone_to: list[str] = []

    async def refuse(addresses: Sequence[str], *_: object) -> None:
        gone_to.extend(addresses)
        raise ConnectionRefusedError

    for module in (httptools_engine, httpx2_engine):
        monkeypatch.setattr(module, "first_to_answer", refuse)
    names.answers = [*([[PUBLIC], [LOOPBACK]] * 100), [LOOPBACK]]
    outcomes: list[str] = []
    async with ScriptedUpstream() as up:
        for _ in range(200):
            with pytest.raises(UpstreamUnreachable) as caught:
                await fetch(guarded, post(_at(up, private=False)))
            outcomes.append(caught.value.outcome)
        assert up.connections == 0
    assert gone_to == [PUBLIC] * 100
    assert outcomes == ["connect_refused", "address_forbidden"] * 100
    assert len(names.asked) == 200


async def test_a_connection_that_is_open_stays(guarded: Engine, names: Names) -> None:
    """What a name becomes later matters to the next connection, not to those in the pool."""
    names.answers = [[LOOPBACK], [METADATA]]
    async with ScriptedUpstream() as up:
        for _ in range(3):
            assert (await fetch(guarded, post(_at(up))))[0] == 200
        up.default = [send(raw_head(200, [("content-length", "9")])), stall()]
        first = await guarded.send(post(_at(up)), soon())
        with pytest.raises(UpstreamAddressForbidden):
            await fetch(guarded, post(_at(up)))
        first.abort()
        assert up.connections == 1


async def test_the_next_address_is_tried(guarded: Engine, names: Names) -> None:
    """A name with several addresses is served by the first that takes a connection."""
    names.answers = [["127.0.0.2", "127.0.0.3", LOOPBACK]]
    async with ScriptedUpstream() as up:
        assert (await fetch(guarded, post(_at(up))))[0] == 200
    names.answers = [["127.0.0.2", "127.0.0.3"]]
    with pytest.raises(UpstreamUnreachable) as caught:
        await fetch(guarded, post(_at(up)))
    assert caught.value.outcome == "connect_refused"


@contextmanager
def deaf(port: int) -> Iterator[str]:
    """An address where connects hang: its queue is full and nobody accepts."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", port))
        yield "127.0.0.2"


async def test_an_address_that_hangs_is_passed_by(guarded: Engine, names: Names) -> None:
    """Long before the connect timeout the next address is tried beside one that says nothing."""
    async with ScriptedUpstream() as up:
        with deaf(up.port) as hanging:
            names.answers = [[hanging, LOOPBACK]]
            assert (await fetch(guarded, post(_at(up)), soon(connect=60, first_byte=60)))[0] == 200
            names.answers = [[hanging]]
            with pytest.raises(UpstreamConnectTimeout):
                await fetch(type(guarded)(names), post(_at(up)), soon(connect=0.05))


async def test_a_handshake_that_hangs_is_passed_by(names: Names, authority: Authority) -> None:
    """TCP accepts and TLS says nothing, as where a process hangs: the next address serves, and the first connection is
    closed. (The second engine's library makes its handshakes after it has chosen.)"""
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        left.set()
        writer.close()

    own = HttptoolsEngine(names)
    names.answers = [["127.0.0.2", LOOPBACK]]
    async with (
        ScriptedUpstream(tls=authority.server_context("provider.test")) as up,
        await asyncio.start_server(silent, "127.0.0.2", up.port),
    ):
        where = Endpoint("provider.test", up.port, True, str(authority.ca_file), private_network=True)
        assert (await fetch(own, post(where), soon(connect=60, first_byte=60)))[0] == 200
        await left.wait()
        await own.close()


async def test_a_reset_handshake_is_tried_at_the_next_address(names: Names, authority: Authority) -> None:
    """A connection that breaks during the handshake says nothing against the other addresses."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    own = HttptoolsEngine(names)
    names.answers = [["127.0.0.2", LOOPBACK]]
    async with (
        ScriptedUpstream(tls=authority.server_context("provider.test")) as up,
        await asyncio.start_server(reset, "127.0.0.2", up.port),
    ):
        where = Endpoint("provider.test", up.port, True, str(authority.ca_file), private_network=True)
        assert (await fetch(own, post(where)))[0] == 200
        await own.close()


async def test_of_several_connections_one_is_kept() -> None:
    """Whoever comes second is dropped, whenever it comes; a caller that leaves leaves nothing behind."""
    dropped: list[str] = []
    together = asyncio.Event()

    async def connect(address: str, accepted: Callable[[], None]) -> str:
        if address == "2001:db8::1":
            together.set()
        await together.wait()
        return address

    kept = await first_to_answer(["192.0.2.1", "2001:db8::1"], connect, dropped.append)
    await asyncio.sleep(0)
    assert {kept, *dropped} == {"192.0.2.1", "2001:db8::1"}
    together.clear()
    leaving = asyncio.ensure_future(first_to_answer(["192.0.2.1", "192.0.2.2"], connect, dropped.append))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert len(dropped) == 1


async def test_what_no_other_address_mends_ends_the_race() -> None:
    """A refused certificate is final though another address was not tried; the last refusal is what is told."""
    asked: list[str] = []

    async def connect(address: str, accepted: Callable[[], None]) -> str:
        asked.append(address)
        raise ssl.SSLCertVerificationError if address == "192.0.2.2" else ConnectionRefusedError(address)

    with pytest.raises(ssl.SSLCertVerificationError):
        await first_to_answer(["192.0.2.1", "192.0.2.2", "192.0.2.3"], connect, asked.append)
    assert asked == ["192.0.2.1", "192.0.2.2"]
    with pytest.raises(ConnectionRefusedError, match=r"192\.0\.2\.3"):
        await first_to_answer(["192.0.2.1", "192.0.2.3"], connect, asked.append)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENETDOWN, errno.EHOSTUNREACH])
async def test_an_address_that_the_system_forbids_is_passed_by(number: int) -> None:
    """Firewalls and routes of this machine refuse one family in many words: the next address is tried at once."""

    async def connect(address: str, accepted: Callable[[], None]) -> str:
        if ":" in address:
            raise OSError(number, "no way there")
        return address

    assert await first_to_answer(["2001:db8::1", "192.0.2.1"], connect, list[str]().append) == "192.0.2.1"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_without_a_descriptor_no_other_address_is_tried(number: int) -> None:
    """It would want one as well."""

    async def connect(address: str, accepted: Callable[[], None]) -> str:
        raise OSError(number, address)

    with pytest.raises(OSError, match="2001:db8::1"):
        await first_to_answer(["2001:db8::1", "192.0.2.1"], connect, list[str]().append)


def test_families_take_turns() -> None:
    """The resolver's order stands within a family, and its first choice comes first."""
    assert interleaved(["::1", "::2", "::3", "10.0.0.1"]) == ["::1", "10.0.0.1", "::2", "::3"]
    assert interleaved(["10.0.0.1", "10.0.0.2", "::1"]) == ["10.0.0.1", "::1", "10.0.0.2"]


async def test_a_refused_certificate_is_final(guarded: Engine, names: Names, authority: Authority) -> None:
    """A handshake that fails at one address is not tried at the next; where it works the name stands in SNI."""
    names.answers = [[LOOPBACK, LOOPBACK]]
    seen: list[str | None] = []
    for name, raises in (("other.test", True), ("provider.test", False)):
        context = authority.server_context(name)
        context.sni_callback = lambda _, sent, __: seen.append(sent)
        async with ScriptedUpstream(tls=context) as up:
            where = Endpoint("provider.test", up.port, True, str(authority.ca_file), private_network=True)
            if raises:
                with pytest.raises(UpstreamTlsFailed):
                    await fetch(guarded, post(where))
            else:
                assert (await fetch(guarded, post(where)))[0] == 200
    assert seen == ["provider.test", "provider.test"]


async def test_a_name_without_address_is_a_dns_failure(guarded: Engine, names: Names) -> None:
    """A resolver that knows nothing, or nothing useful, is UpstreamDnsFailed."""

    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    names.answers = [[]]
    for engine in (guarded, type(guarded)(unknown)):
        with pytest.raises(UpstreamDnsFailed):
            await fetch(engine, post(Endpoint("provider.test", 80, tls=False)))
        await engine.close()


@pytest.mark.parametrize("where", [PUBLIC, LOOPBACK])
async def test_a_pinned_address_is_checked(guarded: Engine, names: Names, where: str) -> None:
    """A pin spares the resolver, not the check."""
    endpoint = Endpoint("provider.test", 80, tls=False, pinned_ip=METADATA, private_network=where == LOOPBACK)
    with pytest.raises(UpstreamAddressForbidden):
        await fetch(guarded, post(endpoint))
    assert names.asked == []


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_odd_spellings_are_resolved_and_refused(guarded: Engine, spelling: str) -> None:
    """The system's resolver takes `127.1` and its like for addresses; so the check sees what they are."""
    guarded._resolver = resolve
    async with ScriptedUpstream() as up:
        with pytest.raises(UpstreamUnreachable) as caught:
            await fetch(guarded, post(Endpoint(spelling, up.port, tls=False)))
        # httpx2 takes some of them for no URL at all.
        assert isinstance(guarded, Httpx2Engine) or caught.value.outcome == "address_forbidden"
        assert up.connections == 0


async def test_the_environment_names_no_proxy(guarded: Engine, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables of the environment are not followed."""
    names.answers = [[LOOPBACK]]
    async with ScriptedUpstream() as up, ScriptedUpstream() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.base_url)
        assert (await fetch(guarded, post(_at(up))))[0] == 200
        assert proxy.connections == 0
