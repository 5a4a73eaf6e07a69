"""Work that grows faster than the request."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.http.multipart import FormScanner
from tests.security.carriers import carried
from tests.support.rig import COMPLETION, Rig

# ---- CVE-2025-62727, CVE-2024-8984: work that grows faster than the request


def test_ranges_are_nobodys_work(rig: Rig, token: str) -> None:
    """A Range of a thousand parts changes nothing, and no provider sees it."""
    ranges = "bytes=" + ",".join(f"{start}-{start}" for start in range(1000))
    for path in ("/healthz", "/metrics", "/v1/models"):
        assert rig.gateway.get(path, [("range", ranges), carried("bearer", token)]).status == 200
    assert rig.gateway.chat("m", [carried("bearer", token), ("range", ranges)]).json["object"] == COMPLETION["object"]
    assert all(request.header("range") is None for request in rig.a.received)


class _Counted(bytes):
    """Bytes that count how many were looked at or copied."""

    work = 0

    def find(self, *arguments: Any) -> int:
        _Counted.work += len(self)
        return super().find(*arguments)

    def __add__(self, other: Any) -> _Counted:
        _Counted.work += len(self) + len(other)
        return _Counted(super().__add__(other))

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        if isinstance(found, bytes):
            _Counted.work += len(found)
            return _Counted(found)
        return found


def _work(junk: bytes, times: int, piece: int) -> int:
    """What scanning a file of that much junk costs."""
    head = b'--edge\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = head + junk * times
    scanner = FormScanner(b"edge")
    scanner._window = _Counted(scanner._window)
    _Counted.work = 0
    for start in range(0, len(body), piece):
        scanner.feed(body[start : start + piece])
    assert len(scanner._window) < 100
    return _Counted.work


@pytest.mark.parametrize("junk", [b"\r\n--edg", b"\r\n-", b"-", b"\r\n--edgf\r\n", b"a"])
@pytest.mark.parametrize("piece", [7, 1024, 65536])
def test_a_boundary_is_found_in_one_pass(junk: bytes, piece: int) -> None:
    """Files of almost-boundaries: twice the bytes are twice the work, and nothing of them is kept."""
    once, twice = _work(junk, 20_000, piece), _work(junk, 40_000, piece)
    assert once > 20_000 * len(junk)
    assert twice < 2.2 * once
