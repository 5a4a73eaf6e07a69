"""Operations: liveness, readiness with reasons, metrics. Starlette serves what is not on the hot path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Readiness(Protocol):
    """What `/readyz` asks."""

    @property
    def revision(self) -> str: ...

    def blockers(self) -> list[str]:
        """Why no traffic should come here; empty when it may."""
        ...

    def remarks(self) -> list[str]:
        """What is wrong and does not keep traffic away."""
        ...


def create_ops(readiness: Readiness, render_metrics: Callable[[], bytes]) -> Starlette:
    """The application for `/healthz`, `/readyz` and `/metrics`. `render_metrics` may raise OSError."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        blockers = readiness.blockers()
        body = {
            "status": "unavailable" if blockers else "ok",
            "revision": readiness.revision,
            "reasons": [*blockers, *readiness.remarks()],
        }
        return JSONResponse(body, 503 if blockers else 200)

    async def metrics(_: Request) -> Response:
        try:
            return Response(await asyncio.to_thread(render_metrics), media_type=METRICS_TYPE)
        except OSError as error:  # whoever reads files has logged it
            text = f"The metrics of the gateway's other processes cannot be read: {error.strerror}. Try again.\n"
            return PlainTextResponse(text, 503)

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)],
        exception_handlers={HTTPException: _refused},
    )


async def _refused(_: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the one error shape that every client here understands."""
    assert isinstance(error, HTTPException)
    code = {404: "unknown_url", 405: "method_not_supported"}.get(error.status_code)
    message = "Unknown request URL. The API is served under /v1." if error.status_code == 404 else error.detail
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return JSONResponse(body, error.status_code, headers=error.headers)
