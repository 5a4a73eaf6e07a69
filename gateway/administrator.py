"""The administrator: the process that serves the control plane. It owns the resources in SQL, checks and commits their
changes, and lays them out for the workers of its replica. Another composition root beside `app` and `bookkeeper`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from gateway.errors import OperatorError
from gateway.registry.resources.shelf import Shelf
from gateway.storage.redis import RedisOptions, connect
from gateway.telemetry import logs
from gateway.worker_control import AdministratorBoot, admin_socket

if TYPE_CHECKING:
    from gateway.storage.sql.database import Database

CANNOT_ADMINISTER = 4
"""The exit code that says: starting again will not help."""
RETRY_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
"""How long a database may take to be there, or to be migrated, before the workers are told."""
LAST_WORDS_SECONDS = 3
KEEP_ALIVE = 75
"""Seconds that a worker's idle connection stays open: longer than the worker keeps it."""


def run_administrator(boot: AdministratorBoot) -> None:
    """Serve the control plane until SIGTERM. Raises SystemExit, with CANNOT_ADMINISTER when another start would not
    help: a wrong ENCRYPTION_KEY."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    logs.configure(boot.settings.log_level, boot.secrets, background=True)
    for chatty in ("alembic", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.umask(0o077)  # the socket and what is laid out for the workers: nobody else's business
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too: the supervisor tells us when it is our turn
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(Administrator(boot).run())
    finally:
        logs.close()
    raise SystemExit(code)


class Administrator:
    """Everything the process does, wired together. SQLAlchemy and FastAPI are imported here, and nowhere before the
    fork."""

    def __init__(self, boot: AdministratorBoot) -> None:
        self._boot = boot
        self._log = structlog.stdlib.get_logger("gateway.administrator")
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Until SIGTERM; the exit code."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            async with AsyncExitStack() as stack:
                await self._administer(stack)
        except OperatorError as error:
            self._log.critical("cannot_administer", reason=str(error))
            return CANNOT_ADMINISTER
        return 0

    async def _administer(self, stack: AsyncExitStack) -> None:
        from gateway.http.admin.serving import AdminServer  # noqa: PLC0415 - costs 30 MB and half a second
        from gateway.storage.sql.database import Database  # noqa: PLC0415
        from gateway.storage.sql.urls import database_url  # noqa: PLC0415

        settings = self._boot.settings
        database = Database(database_url(settings), echo=settings.sql_echo)
        stack.push_async_callback(database.close)
        server = AdminServer(listen(admin_socket(settings.data_dir)), KEEP_ALIVE, LAST_WORDS_SECONDS)
        stack.push_async_callback(server.close)
        duties = [asyncio.create_task(server.run())]
        stack.push_async_callback(_end, duties)
        told = asyncio.create_task(self._stopping.wait())
        opening = asyncio.create_task(self._open(database, stack))
        await asyncio.wait({told, opening, *duties}, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            return
        app, work = opening.result()
        server.serve(app)
        duties += [asyncio.create_task(duty) for duty in work]
        self._log.info("administering")
        done, _ = await asyncio.wait({told, *duties}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {told}:
            task.result()  # no duty ends by itself: a fresh process may do better

    async def _open(self, database: Database, stack: AsyncExitStack) -> tuple[Any, list[Coroutine[Any, Any, None]]]:
        """The application and its duties, once the database is there. Raises OperatorError."""
        from gateway.administering import open_rooms  # noqa: PLC0415

        redis = connect(self._boot.redis_url, RedisOptions(timeout=1.0, client_name="gateway-administrator"))
        stack.push_async_callback(redis.close)
        told, patient = "", time.monotonic() + PATIENCE_SECONDS
        shelf = Shelf(self._boot.settings.data_dir)
        while True:
            try:
                return await open_rooms(self._boot, database, redis)
            except Exception as error:  # only what says "away" is waited for; the rest goes on
                reason = _away(error)
                if reason is None:
                    raise
                if reason != told:
                    told = reason
                    self._log.warning("database_away", reason=reason, retry_in=RETRY_SECONDS)
                if time.monotonic() > patient and shelf.complaint() != reason:
                    shelf.complain(reason)
            await asyncio.sleep(RETRY_SECONDS)


def listen(path: Path) -> socket.socket:
    """A unix socket that only this user can open, in place of one that a predecessor left. Raises OSError."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(512)
    listener.settimeout(0)
    return listener


def _away(error: Exception) -> str | None:
    """Why the database cannot be used yet; None for an error that waiting does not mend."""
    from gateway.administering import NotMigrated  # noqa: PLC0415
    from gateway.storage.sql.errors import DatabaseUnavailable  # noqa: PLC0415

    return f"{type(error).__name__}: {error}" if isinstance(error, NotMigrated | DatabaseUnavailable) else None


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            logging.getLogger("gateway.administrator").error("a duty ended: %r", result)
