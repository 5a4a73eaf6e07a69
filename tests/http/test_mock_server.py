"""The scripted provider on a socket: faults as a client meets them, and the bill that is kept of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import pytest

from gateway.errors import OperatorError
from gateway.http.mock_server import create_mock_app, run_mock
from tests.support.scripted_server import ScriptedServer, scripted_server
from tests.support.waiting import until


@pytest.fixture(scope="module", params=["httptools", "h11"])
def server(request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    with scripted_server(request.param) as running:
        yield running


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[httpx2.Client]:
    server.app.bill.reset()
    with httpx2.Client(base_url=server.url, timeout=10, trust_env=False) as client:
        yield client


def body(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "mock-small", "messages": [{"role": "user", "content": text}], **more}


def post(client: httpx2.Client, script: str, **more: Any) -> httpx2.Response:
    return client.post("/chat/completions", json=body(**more), headers={"x-mock-script": script})


def bill(client: httpx2.Client) -> Any:
    return client.get("/../mock/bill").raise_for_status().json()


def raw(server: ScriptedServer, script: str, **more: Any) -> socket.socket:
    """A plain socket on which the request has been sent."""
    content = orjson.dumps(body(**more))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-mock-script: {script}\r\n"
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    sock.sendall(head.encode() + b"content-length: %d\r\n\r\n" % len(content) + content)
    return sock


def drained(sock: socket.socket) -> bytes:
    data = b""
    while part := sock.recv(65536):
        data += part
    return data


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        part = sock.recv(65536)
        assert part, data
        data += part
    return data


def test_a_cut_stream_ends_without_the_last_chunk(server: ScriptedServer, client: httpx2.Client) -> None:
    """The client gets exactly the scripted bytes, then a close in the middle of the chunked body."""
    with pytest.raises(httpx2.RemoteProtocolError):
        post(client, "cut-after-300", stream=True)
    with raw(server, "cut-after-300", stream=True) as sock:
        _, _, rest = drained(sock).partition(b"\r\n\r\n")
    assert not rest.endswith(b"0\r\n\r\n")
    whole = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    assert len(whole) == 300
    assert [row["outcome"] for row in bill(client)["rows"]] == ["cut", "cut"]


def test_a_cut_body_is_shorter_than_its_content_length(client: httpx2.Client) -> None:
    """An answer that is not streamed breaks off under its announced length, and is charged."""
    with pytest.raises(httpx2.RemoteProtocolError):
        post(client, "cut-after-20")
    (row,) = bill(client)["rows"]
    assert (row["outcome"], row["input_tokens"], row["output_tokens"]) == ("cut", 2, 3)


def test_drop_closes_before_the_head(server: ScriptedServer, client: httpx2.Client) -> None:
    """Not one byte comes."""
    with raw(server, "drop") as sock:
        assert drained(sock) == b""
    assert bill(client)["rows"][0]["output_tokens"] == 0


def test_reset_sends_rst(server: ScriptedServer) -> None:
    """The connection is reset, not closed."""
    with raw(server, "reset-after-0", stream=True) as sock, pytest.raises(ConnectionResetError):
        drained(sock)


def test_a_stalled_stream_sends_so_many_events_and_waits(server: ScriptedServer, client: httpx2.Client) -> None:
    """Events before the stall arrive; nothing follows; the client's leaving books what was sent."""
    with raw(server, "stall-after-2", stream=True) as sock:
        data = read_until(sock, b'"echo"')
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1000)
        assert data.count(b"data: ") == 2
        assert bill(client)["rows"] == []
    until(lambda: bool(bill(client)["rows"]))
    (row,) = bill(client)["rows"]
    assert (row["outcome"], row["output_tokens"], row["input_tokens"]) == ("cancelled", 1, 2)


def test_a_hang_ends_when_the_client_leaves(server: ScriptedServer, client: httpx2.Client) -> None:
    """No head comes, and the request is booked when the client gives up."""
    with raw(server, "hang") as sock:
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    until(lambda: bool(bill(client)["rows"]))
    assert bill(client)["totals"]["cancelled"] == 1


def test_a_paced_stream_stops_for_a_client_that_leaves(server: ScriptedServer, client: httpx2.Client) -> None:
    """A disconnect in a pause of a minute is noticed at once and books the tokens sent so far."""
    with raw(server, "pace-60s", stream=True) as sock:
        read_until(sock, b'"role"')
    until(lambda: bool(bill(client)["rows"]))
    (row,) = bill(client)["rows"]
    assert (row["outcome"], row["output_tokens"], row["stream"]) == ("cancelled", 0, True)


def test_a_stalled_head_arrives(server: ScriptedServer) -> None:
    """`stall-after-0` sends the head and no body."""
    with raw(server, "stall-after-0", stream=True) as sock:
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_slow_first_byte_waits(client: httpx2.Client) -> None:
    """The head comes no sooner than scripted."""
    assert post(client, "slow-first-byte-60ms").elapsed.total_seconds() >= 0.055


def test_malformed_and_foreign_answers_arrive_as_they_are(client: httpx2.Client) -> None:
    """Whatever the directive puts into a 200 reaches the socket under valid HTTP framing."""
    assert post(client, "empty-200").content == b""
    assert post(client, "null-200").json() is None
    assert post(client, "html-200").headers["content-type"].startswith("text/html")
    assert b'"id":"broken"' in post(client, "malformed-after-2", stream=True).content
    assert not post(client, "end-after-2", stream=True).content.endswith(b"[DONE]\n\n")
    refused = post(client, "status-503;retry-after-2")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert post(client, "status-302").headers["location"]


def test_split_sends_reach_the_client_as_separate_chunks(server: ScriptedServer) -> None:
    """Every send is an HTTP chunk of its own, so characters really break between chunks."""
    with raw(server, "split-1;unicode;cut-after-2000", stream=True) as sock:
        _, _, rest = drained(sock).partition(b"\r\n\r\n")
    assert rest.startswith(b"1\r\nd\r\n1\r\na\r\n")


def test_the_bill_equals_what_clients_were_told(client: httpx2.Client) -> None:
    """Rows and totals carry exactly the usage of the answers, with the ids that came along."""
    usages: list[dict[str, int]] = []
    for number in range(5):
        headers = {"x-request-id": f"r{number}", "x-gateway-call-id": f"c{number}", "authorization": "Bearer sk-secret"}
        answer = client.post("/chat/completions", json=body("x" * (number + 1) * 5), headers=headers)
        assert answer.headers["x-request-id"] == f"r{number}"
        usages.append(answer.json()["usage"])
    streamed = post(client, "", stream=True, stream_options={"include_usage": True}).text.split("\n\n")
    usages.append(orjson.loads(streamed[-3][6:])["usage"])
    assert post(client, "status-500").status_code == 500
    told = bill(client)
    assert [(row["input_tokens"], row["output_tokens"]) for row in told["rows"][:6]] == [
        (usage["prompt_tokens"], usage["completion_tokens"]) for usage in usages
    ]
    assert [(row["request_id"], row["call_id"]) for row in told["rows"][:2]] == [("r0", "c0"), ("r1", "c1")]
    failed = told["rows"][6]
    assert (failed["status"], failed["input_tokens"], failed["output_tokens"]) == (500, 0, 0)
    assert (failed["service"], failed["model"]) == ("chat", "mock-small")
    assert told["totals"]["requests"] == told["totals"]["completed"] == 7
    assert told["totals"]["input_tokens"] == sum(usage["prompt_tokens"] for usage in usages)
    assert client.delete("/../mock/bill").json() == bill(client)
    assert bill(client)["rows"] == []


def test_requests_can_be_looked_at_without_credentials(client: httpx2.Client) -> None:
    """Headers and bodies are kept, keys are not; `last` bounds the list."""
    for name in ("one", "two"):
        client.post("/chat/completions", json=body(name), headers={"authorization": "Bearer sk-secret", "x-a": name})
    seen = client.get("/../mock/requests?last=1").json()["requests"]
    assert len(seen) == 1
    assert ["x-a", "two"] in seen[0]["headers"]
    assert orjson.loads(seen[0]["body"]) == body("two")
    assert "sk-secret" not in client.get("/../mock/requests").text
    assert client.get("/../mock/else").status_code == 404


def test_connections_are_reused_after_whole_answers(server: ScriptedServer) -> None:
    """Two answers come over one connection."""
    content = orjson.dumps(body())
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(content) + content
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        for _ in range(2):
            sock.sendall(request)
            assert b"HTTP/1.1 200" in read_until(sock, b"total_tokens")


async def test_an_unknown_server_gets_an_exception_for_a_cut() -> None:
    """Without uvicorn's transport a cut is an exception, which every server turns into a broken answer."""
    content = orjson.dumps(body())
    messages = iter([{"type": "http.request", "body": content}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [(b"x-mock-script", b"drop")]}
    app = create_mock_app()
    with pytest.raises(ConnectionAbortedError):
        await app(scope, receive, send)
    assert sent == []
    assert app.bill.totals["cut"] == 1


def test_run_mock_prints_its_base_url_and_serves() -> None:
    """The command's function takes a free port, says where it listens, and ends on SIGINT."""
    code = "from gateway.http.mock_server import run_mock; run_mock(port=0)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[-1]
        assert httpx2.get(f"{url}/models", trust_env=False).json()["object"] == "list"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) in {0, -signal.SIGINT}
    finally:
        process.kill()
        process.communicate()


def test_run_mock_names_an_address_that_is_taken() -> None:
    """One sentence with what to do, as `gateway serve` has it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            OperatorError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*; choose another with --port"
        ):
            run_mock(port=port)
