"""Lookups: a name server that hangs is its own names' trouble, and nobody else's."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from gateway.errors import UpstreamConnectTimeout, UpstreamDnsFailed
from gateway.ports import Endpoint
from gateway.upstream.engines.httptools_engine import HttptoolsEngine
from gateway.upstream.engines.httpx2_engine import Httpx2Engine
from gateway.upstream.lookups import Lookups, ask_system
from tests.support.upstream import ScriptedUpstream

from .engines.calls import fetch, post, soon

AT_ONCE = 20
Ask = Callable[[str], Sequence[str]]


class NameServers:
    """What asks them blocks, as the system's resolver does: for names in `silent` until `speak`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.silent = {"silent.test"}
        self._speaking = threading.Event()

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host in self.silent:
            self._speaking.wait(60)
        if host == "unknown.test":
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return ["127.0.0.1"]

    def speak(self) -> None:
        self._speaking.set()


@pytest.fixture
def servers() -> Iterator[NameServers]:
    servers = NameServers()
    yield servers
    servers.speak()


@pytest.mark.parametrize("kind", [HttptoolsEngine, Httpx2Engine])
async def test_one_that_hangs_keeps_nobody_else_waiting(
    servers: NameServers, kind: type[HttptoolsEngine | Httpx2Engine]
) -> None:
    """Many calls wait for a name that hangs, and time out; those to other names connect meanwhile."""
    engine = kind(Lookups(servers))
    async with ScriptedUpstream() as up:
        sick = Endpoint("silent.test", up.port, tls=False, private_network=True)
        hanging = [asyncio.ensure_future(fetch(engine, post(sick), soon(connect=0.5))) for _ in range(AT_ONCE)]
        for number in range(AT_ONCE):
            well = Endpoint(f"{number}.test", up.port, tls=False, private_network=True)
            assert (await fetch(engine, post(well)))[0] == 200
        ends = await asyncio.gather(*hanging, return_exceptions=True)
    await engine.close()
    assert {type(end) for end in ends} == {UpstreamConnectTimeout}
    assert servers.asked.count("silent.test") == 1


async def test_a_question_is_shared_and_its_answer_is_not_kept(servers: NameServers) -> None:
    """All who ask for a name wait for one question, whoever of them gives up; who asks later asks anew."""
    lookups = Lookups(servers)
    asking = [asyncio.ensure_future(lookups("silent.test", port)) for port in range(1, AT_ONCE)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.wait(asking[:1])
    servers.speak()
    assert await asyncio.gather(*asking[1:]) == [["127.0.0.1"]] * (AT_ONCE - 2)
    assert servers.asked == ["silent.test"]
    await lookups("silent.test", 80)
    assert servers.asked == ["silent.test"] * 2


async def test_threads_are_bounded(servers: NameServers) -> None:
    """Names beyond the bound wait for a thread, in their order; what nobody waits for any more is not asked at all."""
    servers.silent |= {"b.test"}
    lookups = Lookups(servers, threads=2)
    names = ["silent.test", "b.test", "c.test", "given-up.test", "d.test"]
    asking = [asyncio.ensure_future(lookups(name, 80)) for name in names]
    await asyncio.sleep(0)
    assert repr(lookups) == "<Lookups threads=2 questions=5 waiting=3>"
    asking[3].cancel()
    await asyncio.wait(asking[3:4])
    assert repr(lookups) == "<Lookups threads=2 questions=4 waiting=2>"
    servers.speak()
    await asyncio.gather(*asking[:3], asking[4])
    assert sorted(servers.asked) == ["b.test", "c.test", "d.test", "silent.test"]
    await lookups("e.test", 80)  # threads that ended leave room for others


async def test_a_failure_is_everybodys(servers: NameServers) -> None:
    """A name that is not known fails for all who asked, and is asked for again."""
    lookups = Lookups(servers)
    for _ in range(2):
        ends = await asyncio.gather(*(lookups("unknown.test", 80) for _ in range(3)), return_exceptions=True)
        assert {type(end) for end in ends} == {socket.gaierror}
    engine = HttptoolsEngine(lookups)
    with pytest.raises(UpstreamDnsFailed):
        await fetch(engine, post(Endpoint("unknown.test", 80, tls=False)))
    await engine.close()


async def test_without_a_thread_a_name_fails(servers: NameServers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no thread, the question fails and the next one is asked again."""

    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups(servers)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        with pytest.raises(socket.gaierror):
            await lookups("a.test", 80)
    assert await lookups("a.test", 80) == ["127.0.0.1"]


def test_no_process_waits_for_them() -> None:
    """A process ends while a lookup hangs."""
    code = """
import asyncio, time
from gateway.upstream.lookups import Lookups
async def main():
    lookups = Lookups(lambda host: time.sleep(600))
    asyncio.ensure_future(lookups("silent.test", 80))
    await asyncio.sleep(0.05)
asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_the_system_gives_each_address_once() -> None:
    """Of kinds of sockets only one is asked for."""
    assert ask_system("127.1") == ["127.0.0.1"]
