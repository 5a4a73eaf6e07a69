"""The bookkeeper: the one process of a gateway that knows SQL. It books what workers did, frees what dead ones held,
tells what was used, and shows the keys of the database to Redis. Another composition root beside `app`."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from gateway.auth.keyring import Keyring
from gateway.auth.mirror import Mirror
from gateway.errors import OperatorError
from gateway.health.recorder import Recorder, stream_of
from gateway.limits.reaper import Reaper
from gateway.ports import Engine, Secrets
from gateway.registry.snapshot import Snapshot
from gateway.settings import Settings
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, connect
from gateway.storage.streams import stream_options
from gateway.telemetry import logs
from gateway.telemetry.bookkeeping import BookkeepingMetrics
from gateway.telemetry.fanout import Observers
from gateway.telemetry.logs import EventLog
from gateway.upstream.engines import create_engine
from gateway.upstream.webhook import Webhook
from gateway.usage.booking import Booker, LedgerAway, LedgerStore
from gateway.usage.consumer import Consumer
from gateway.usage.hold_journal import HoldJournal
from gateway.usage.holds import Hold, Holds
from gateway.usage.ledger_server import LedgerServer
from gateway.usage.rpc import ledger_socket
from gateway.usage.spool_reader import SpoolReader

if TYPE_CHECKING:
    from gateway.storage.sql.database import Database

MIGRATION_FAILED = 4
"""The exit code that says: starting again will not help."""
REAP_EVERY = 5.0
RETRY_SECONDS = 2.0
DRAIN_SECONDS = 10.0
CLUSTER_SHARDS = 16


_NOTHING = Snapshot("")


@dataclass(frozen=True, slots=True)
class BookkeeperBoot:
    """What the bookkeeper needs to know to start."""

    settings: Settings
    redis_url: str
    metrics_dir: Path | None = None
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    file_keys: Callable[[], frozenset[str]] = frozenset
    """The names of the configuration file's keys."""
    snapshot: Callable[[], Snapshot] = lambda: _NOTHING
    """The configuration as it is now."""
    trouble: Callable[[], str | None] = lambda: None
    """Why the file, as it is now, is not served."""
    replica: str = "local"

    @property
    def data_dir(self) -> Path:
        """Where the spool, the socket and SQLite are."""
        return self.settings.data_dir


def run_bookkeeper(boot: BookkeeperBoot) -> None:
    """Keep the books until SIGTERM. Raises SystemExit, with MIGRATION_FAILED when the database cannot be used as it
    is."""
    # Until there is somebody to hear it; before the first thread, which would take it for us.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    logs.configure(boot.settings.log_level, boot.secrets, background=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    os.umask(0o077)  # the database, the spool, the journal: nobody else's business
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too: the supervisor tells us when it is our turn
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(Bookkeeper(boot).run())
    finally:
        logs.close()
    raise SystemExit(code)


def shards_of(redis: RedisClient) -> tuple[str, ...]:
    """The shards whose streams and open calls there are."""
    return tuple(map(str, range(CLUSTER_SHARDS))) if redis.cluster else ("0",)


class Bookkeeper:
    """Everything the process does, wired together. SQLAlchemy is imported here and nowhere before the fork."""

    def __init__(self, boot: BookkeeperBoot) -> None:
        self._boot = boot
        self._log = structlog.stdlib.get_logger("gateway.bookkeeper")
        self._metrics = BookkeepingMetrics(boot.metrics_dir)
        self._redis = connect(boot.redis_url, stream_options(CLUSTER_SHARDS))
        self._reaper = Reaper(self._redis, shards_of(self._redis), time.time)
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Until SIGTERM; the exit code."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        self._metrics.start()
        duties = [self._duty(reap_forever(self._reaper.run_once))]
        try:
            if await self._migrate():
                await self._keep_books(duties)
        except OperatorError as error:
            self._log.critical("books_cannot_be_kept", reason=str(error))
            return MIGRATION_FAILED
        finally:
            await _end(duties)
            await self._redis.close()
            self._metrics.close()
        return 0

    async def _keep_books(self, duties: list[asyncio.Task[None]]) -> None:
        from gateway.storage.sql.database import Database  # noqa: PLC0415 - costs 40 MB and half a second
        from gateway.storage.sql.urls import database_url  # noqa: PLC0415

        settings = self._boot.settings
        database = Database(database_url(settings), echo=settings.sql_echo)
        books = Books(self._boot, self._redis, self._metrics, database, self._reaper)
        try:
            await books.open()
            duties += [self._duty(work) for work in books.duties()]
            await self._until_told(duties)
            await _end(duties)
            await books.drain()
        finally:
            await _end(duties)
            await books.close()
            await database.close()

    def _duty(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(work)

    async def _until_told(self, duties: list[asyncio.Task[None]]) -> None:
        """Wait for SIGTERM. Raises what a duty raised: no duty ends by itself, and a fresh process may do better."""
        told = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait({told, *duties}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {told}:
                task.result()
        finally:
            told.cancel()

    async def _migrate(self) -> bool:
        """Whether the database is ready: one that is away is waited for, until SIGTERM. Raises OperatorError for what
        only an operator can mend."""
        from gateway.storage.sql.errors import is_away  # noqa: PLC0415
        from gateway.storage.sql.migrate import migrate  # noqa: PLC0415
        from gateway.storage.sql.urls import database_url  # noqa: PLC0415

        told = ""
        while True:
            try:
                await asyncio.to_thread(migrate, database_url(self._boot.settings))
            except OperatorError as error:
                if error.__context__ is None or not is_away(error.__context__):
                    raise
                self._metrics.failed()
                if str(error) != told:  # once, not every two seconds for as long as it takes
                    told = str(error)
                    self._log.error("database_away", reason=told, retry_in=RETRY_SECONDS)
            else:
                self._log.info("database_ready")
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return False


class Books:
    """The ledger and everything that carries rows to it or asks it."""

    def __init__(
        self,
        boot: BookkeeperBoot,
        redis: RedisClient,
        metrics: BookkeepingMetrics,
        database: Database,
        reaper: Reaper,
    ) -> None:
        from gateway.storage.sql.errors import cause_of  # noqa: PLC0415 - imports SQLAlchemy
        from gateway.usage.ledger import Ledger  # noqa: PLC0415 - so does this

        self._log = structlog.stdlib.get_logger("gateway.bookkeeper")
        directory = boot.data_dir
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ledger: LedgerStore = Ledger(database, fitting=True)
        self._holds = Holds(self._used, HoldJournal(directory / "holds.journal", Hold))
        booker = Booker(self._ledger, metrics, is_bad_row, self._holds.booked, cause_of)
        self._consumer = Consumer(redis, shards_of(redis), consumer_name(directory), booker, metrics)
        self._spool = SpoolReader(directory / "spool", booker, metrics)
        self._server = LedgerServer(ledger_socket(directory), self._used, self._caught_up, self._holds)
        self._mirror = _mirror(boot, redis, database)
        self._incidents = Incidents(boot, redis, consumer_name(directory), metrics, database)
        self._reaper = reaper
        self._database = database

    async def open(self) -> None:
        """Take up what a predecessor left, and listen. Raises OSError."""
        self._holds.restore()
        await self._server.start()

    def duties(self) -> list[Coroutine[Any, Any, None]]:
        """What runs until it is cancelled."""
        from gateway.storage.sql.months import keep_ahead  # noqa: PLC0415 - imports SQLAlchemy

        duties = [
            self._consumer.run(),
            self._spool.run(),
            self._server.run(),
            self._mirror.run(),
            self._incidents.run(),
        ]
        return [*duties, keep_ahead(self._database)] if self._database.is_postgres else duties

    async def drain(self) -> None:
        """Book what the workers left, for a few seconds; what cannot be booked stays where it is safe."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._spool.run_once()
                await self._consumer.drain()
        except (StoreUnavailable, LedgerAway, OSError) as error:  # a timeout is an OSError
            self._log.warning("events_left", reason=f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        """Hang up."""
        await self._server.close()
        await self._incidents.close()
        self._holds.journal.close()

    async def _used(self, scope: str, name: str, kind: str, start_us: int, end_us: int) -> int:
        """Raises LedgerAway."""
        from gateway.storage.sql.errors import DatabaseUnavailable  # noqa: PLC0415

        try:
            return await self._ledger.used(scope, name, kind, start_us, end_us)
        except DatabaseUnavailable as error:
            raise LedgerAway(str(error)) from error

    async def _caught_up(self) -> None:
        # What workers left that are known to be dead is not in the streams yet, and nobody else counts it.
        await self._reaper.run_once()
        await self._consumer.caught_up()
        await self._spool.run_once()


class Incidents:
    """The books of providers' health, and the webhook that is told of incidents."""

    def __init__(
        self,
        boot: BookkeeperBoot,
        redis: RedisClient,
        consumer: str,
        metrics: BookkeepingMetrics,
        database: Database,
    ) -> None:
        from gateway.health.history import History  # noqa: PLC0415 - imports SQLAlchemy

        self._snapshot = boot.snapshot
        self._trouble = boot.trouble
        self._replica = boot.replica
        self._engine: Engine | None = None
        self._webhook = Webhook(self._client)
        self._recorder = Recorder(
            stream_of(redis, consumer),
            History(database),
            self._configured,
            Observers(EventLog(), self._webhook),
            metrics,
            boot.settings.health_retention_days * 86400,
        )

    def _client(self) -> Engine:
        if self._engine is None:
            self._engine = create_engine("httptools")
        return self._engine

    def _configured(self) -> Snapshot:
        snapshot = self._snapshot()
        self._webhook.use(snapshot.alerts)
        self._webhook.configuration(self._replica, snapshot.revision, self._trouble())
        return snapshot

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._webhook.run())
            group.create_task(self._recorder.run())

    async def close(self) -> None:
        """Hang up."""
        if self._engine is not None:
            await self._engine.close()


def _mirror(boot: BookkeeperBoot, redis: RedisClient, database: Database) -> Mirror:
    from gateway.auth.issue import Issuer  # noqa: PLC0415 - imports SQLAlchemy
    from gateway.storage.sql.errors import DatabaseUnavailable  # noqa: PLC0415

    return Mirror(Issuer(database), Keyring(redis), unavailable=(DatabaseUnavailable,), file_names=boot.file_keys)


def is_bad_row(error: Exception) -> bool:
    """The database, or its driver, will never take these values; nothing is wrong with the database."""
    from sqlalchemy import exc  # noqa: PLC0415

    if isinstance(error, exc.DataError | exc.IntegrityError | OverflowError | ValueError):
        return True
    return isinstance(error, exc.StatementError) and not isinstance(error, exc.DBAPIError)


def consumer_name(directory: Path) -> str:
    """This gateway's place in the streams' consumer group, the same after every restart. Raises OSError."""
    path = directory / "bookkeeper.id"
    with suppress(FileNotFoundError):
        if found := path.read_text(encoding="ascii").strip():
            return found
    name = f"{socket.gethostname()[:40]}-{secrets.token_hex(8)}"
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(name, encoding="ascii")
    fresh.replace(path)
    return name


async def reap_forever(reap: Callable[[], Awaitable[int]]) -> None:
    """Book the calls of dead workers, every few seconds, until cancelled."""
    log = logging.getLogger("gateway.bookkeeper")
    while True:
        try:
            if reaped := await reap():
                log.warning("%d calls of dead workers were booked as abandoned", reaped)
        except StoreUnavailable:
            pass  # the next round will do it; Redis' absence is reported elsewhere
        except Exception:  # a fault of ours must not keep the books closed: logged, and tried again
            log.exception("dead workers' calls could not be booked")
        await asyncio.sleep(REAP_EVERY)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
