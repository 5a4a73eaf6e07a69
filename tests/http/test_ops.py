"""What operators and their machines ask: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import errno
import os

import httpx2

from gateway.http.ops import create_ops


class Ready:
    """Everything is well."""

    revision = "r1"

    def blockers(self) -> list[str]:
        return []

    def remarks(self) -> list[str]:
        return []


async def test_metrics_that_cannot_be_read_are_a_503() -> None:
    """With the reason in words: it passes."""

    def unreadable() -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/somewhere/metrics")

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=create_ops(Ready(), unreadable))) as client:
        answer = await client.get("http://gateway.test/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/plain; charset=utf-8")
    assert answer.text == (
        "The metrics of the gateway's other processes cannot be read: Too many open files. Try again.\n"
    )
