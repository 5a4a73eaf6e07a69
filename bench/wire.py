"""A plain HTTP client for readiness and correctness checks; load comes from elsewhere."""

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bench import payloads
from bench.processes import BenchError


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float = 30.0) -> tuple[int, bytes]:
    """One request on its own connection. Raises OSError or HTTPException."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)
    try:
        connection.request("POST", parts.path, body, {"content-type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def get_json(url: str) -> Any:
    """The JSON behind an address. Raises OSError, HTTPException or ValueError."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=10)
    try:
        connection.request("GET", parts.path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def answers(url: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a system answers 200 already."""
    try:
        return post(url, body, headers)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def check_bodies(url: str, headers: Mapping[str, str], *, stream: bool, times: int) -> None:
    """Send the request a few times and compare every reply with the upstream's. Raises BenchError on a difference."""
    for _ in range(times):
        status, body = post(url, payloads.request(stream=stream), headers)
        if status != 200:
            raise BenchError(f"status {status}: {body[:300]!r}")
        wrong = payloads.complaint(body, stream_reply=stream)
        if wrong:
            raise BenchError(f"the warm-up reply is wrong: {wrong}")


def accepts(port: int) -> bool:
    """Whether anything listens there yet."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
