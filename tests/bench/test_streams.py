import asyncio
import threading
from collections.abc import Iterator

import pytest

from bench import mock, payloads, streams, wire
from bench.processes import free_port


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 100_000])
def test_events_are_counted_however_the_bytes_are_cut(size: int) -> None:
    """Pieces of any size give the same count, and the end is seen exactly once it is there."""
    wire_bytes = mock.STREAM_HEAD + b"".join(mock.paced_chunks()) + mock.STREAM_END
    counter = streams.EventCounter()
    for start in range(0, len(wire_bytes), size):
        assert not counter.complete
        counter.feed(wire_bytes[start : start + size])
    assert counter.complete
    assert counter.events == payloads.STREAM_EVENTS + 1  # [DONE] is a data line too


@pytest.fixture
def upstream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The rig's own upstream in the mode the test asks for, made fast."""
    monkeypatch.setattr(mock, "PACE_SECONDS", 0.0)
    monkeypatch.setattr(mock, "HOLD_SECONDS", 0.2)
    port, loop = free_port(), asyncio.new_event_loop()
    task = loop.create_task(mock.serve(request.param, port))
    thread = threading.Thread(target=_run, args=(loop, task))
    thread.start()
    while not wire.accepts(port):
        pass
    yield f"http://127.0.0.1:{port}"
    loop.call_soon_threadsafe(task.cancel)
    thread.join()


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    try:
        loop.run_until_complete(task)
    except asyncio.CancelledError:
        pass
    finally:
        loop.close()


@pytest.mark.parametrize("upstream", ["think"], indirect=True)
def test_upstream_that_thinks_answers_the_reply(upstream: str) -> None:
    """The mock of W3 passes the same check as a system under test."""
    wire.check_bodies(f"{upstream}/v1/chat/completions", {}, stream=False, times=2)


@pytest.mark.parametrize("upstream", ["pace"], indirect=True)
async def test_paced_clients_count_whole_streams(upstream: str) -> None:
    """Clients read every stream to its end and count its events, without errors."""
    url = f"{upstream}/v1/chat/completions"
    counts = await streams.paced({"url": url, "headers": {}, "connections": 3, "seconds": 0.05})
    assert counts.errors == 0
    assert counts.finished >= 3
    assert counts.events == counts.finished * payloads.STREAM_EVENTS


@pytest.mark.parametrize("upstream", ["hold"], indirect=True)
async def test_big_bodies_wait_together(upstream: str) -> None:
    """Every body is taken whole and answered, and the upstream knows how many waited at once."""
    job = {"url": f"{upstream}/v1/chat/completions", "headers": {}, "connections": 5, "size": 200_000}
    counts = await streams.big(job)
    assert (counts.finished, counts.errors) == (5, 0)
    stats = await asyncio.to_thread(wire.get_json, f"{upstream}/stats")
    assert stats["in_flight"] == 0
    assert stats["peak"] >= 1


async def test_refused_connections_are_errors() -> None:
    """A system that is gone costs errors, not a hang."""
    url = f"http://127.0.0.1:{free_port()}/v1/chat/completions"
    counts = await streams.big({"url": url, "headers": {}, "connections": 2, "size": 1000})
    assert (counts.finished, counts.errors) == (0, 2)


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 12\r\nhost: x", 12),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked", -1),
        (b"GET / HTTP/1.1\r\nhost: x", 0),
    ],
)
def test_body_length_is_read_from_the_head(head: bytes, length: int) -> None:
    """content-length, chunked and no body at all are told apart."""
    assert mock.body_length(head) == length
