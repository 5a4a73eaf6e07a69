"""The composition root: one worker's rooms, wired together, and its life from start to end."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.accounts import Accounts
from gateway.admission import Admission
from gateway.audit.known import known_secrets
from gateway.auth.keyring import CHANNEL
from gateway.auth.store import Keys
from gateway.health.board import Board
from gateway.health.hints import Hints
from gateway.health.reporter import Reporter
from gateway.health_checks import HealthChecks
from gateway.http import asgi
from gateway.http.cors import Cors
from gateway.http.cycle import Cycle
from gateway.http.openai import OpenAIApi
from gateway.http.ops import create_ops
from gateway.http.overload import Overload
from gateway.http.private import is_administration
from gateway.http.routes import is_api
from gateway.http.throttle import Throttle
from gateway.http.watch import Watch
from gateway.limits.alerts import QuotaAlerts
from gateway.limits.policy import Policy, many_shards, one_shard
from gateway.limits.workers import worker_name
from gateway.metering import Metering, has_budgets
from gateway.pipeline import Pipeline
from gateway.ports import Dialect, Secrets
from gateway.providers import discover
from gateway.registry.compile_providers import Defaults
from gateway.registry.loader import Loaded
from gateway.registry.problems import ConfigError
from gateway.registry.reload import Reloader
from gateway.registry.resources.heartbeats import Refused
from gateway.registry.snapshot import Snapshot
from gateway.registry.table import load_cached
from gateway.routing.facts import Senses
from gateway.routing.planner import Planner
from gateway.settings import Settings
from gateway.storage.companions import Companions
from gateway.storage.errors import StoreUnavailable
from gateway.storage.pubsub import Subscription
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.fanout import Observers
from gateway.telemetry.logs import EventLog
from gateway.telemetry.metrics import Metrics
from gateway.types import Deployment
from gateway.upstream.credentials import Credentials
from gateway.upstream.engines import Engines
from gateway.upstream.foresight import Foresight
from gateway.upstream.forward import Forwarder
from gateway.upstream.send import Sender
from gateway.upstream.webhook import Webhook
from gateway.usage.prices import PriceLookupFailed, Prices
from gateway.worker_control import Seat, WorkerControl, context_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FIRST_WORKERS_SECONDS = 10.0
"""What was found out about keys before the workers were forked is believed by those that start so soon after."""
KEYS_SECONDS = 10.0
"""How long a new worker that has no list of the keys made at run time keeps calls away: the bookkeeper may be about to
write it. Then it serves those who need none."""
KEYS_UNKNOWN = "keys made at run time cannot be checked: those used of late go on for five minutes, others get 503"
UNRECORDED = "the ledger's spool cannot be written: calls are refused until it can"


@dataclass(frozen=True, slots=True)
class Boot:
    """What a worker needs to know to start."""

    settings: Settings
    config: Path | None
    redis_url: str
    loopback: bool
    """Bound to a loopback address: open mode is allowed."""
    metrics_dir: Path | None = None
    workers: int = 1
    access_log_fd: int = 1
    last_good: LastGood | None = None
    """What to serve if the file is bad when this worker starts: others serve it too."""
    made_at: float = field(default_factory=time.monotonic)
    run_time_keys: bool = False
    """Some key was made at run time: callers need one."""
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    """Values that no log may show; the worker adds what the configuration brings."""
    replica: str = "local"
    """What this gateway is called among those that share a store."""
    dialects: Mapping[str, Dialect] | None = None
    """What can be spoken, the configuration's plugins among it; None: what is installed."""
    companions: Companions | None = None
    """What the workers tell each other; None: there is one alone."""


class Tables:
    """The compiled table's place in Redis; trouble there only costs a parse."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def get(self, key: str) -> bytes | None:
        """The table, or None."""
        try:
            return await self._redis.get(key)
        except StoreUnavailable:
            return None

    async def set(self, key: str, value: bytes, ttl: int) -> None:
        """Store it if possible."""
        with suppress(StoreUnavailable):
            await self._redis.set(key, value, ttl)


class Worker:
    """One worker: the application and everything behind it. Starts and ends with the server's lifespan."""

    def __init__(self, boot: Boot, place: int = 0) -> None:
        """`place`: among the workers of this machine, from 0."""
        self._boot = boot
        self._dialects: Mapping[str, Dialect] = discover() if boot.dialects is None else boot.dialects
        self._chance = random.Random()  # noqa: S311 - spreads load, guards nothing
        self._engines = Engines()
        self._secrets = boot.secrets
        self.metrics = Metrics(boot.metrics_dir)
        self._access_log = AccessLog(self._secrets, fd=boot.access_log_fd)
        self._table_client = connect(boot.redis_url, RedisOptions(timeout=1.0))
        self._webhook = Webhook(lambda: self._engines("httptools"))
        events = Observers(self.metrics, EventLog(), self._webhook)
        self._alerts = QuotaAlerts(self._table_client, events.quota_alerted)
        self._reporter = Reporter(self._table_client)
        self.board = Board(events, time.monotonic, self._chance)
        self._senses = Senses(self.board)
        self._observer = Observers(self.metrics, self._access_log, EventLog(), self._alerts, self.board, self._reporter)
        lookout = None if boot.companions is None else boot.companions.lookout(place)
        self._redis = connect(boot.redis_url, RedisOptions(lookout=lookout), self._observer.redis_called)
        self._redis.on_change(self._observer.redis_changed)
        self.board.observer = self._observer
        self._health_checks = HealthChecks(
            boot.settings, self._table_client, self._engines, self._dialects, self._observer, self._reporter
        )
        self._tables = Tables(self._table_client)
        self._ops = create_ops(self, self.metrics.render)
        self._tasks: list[asyncio.Task[None]] = []
        self._prices = Prices(boot.settings.data_dir)
        self._worker = worker_name()
        self._worker_control = WorkerControl(
            boot.settings,
            context_of(boot.settings, self._dialects, defaults_of(boot.settings)),
            lambda: self._engines("httptools"),
            self._table_client,
            Seat(boot.replica, self._worker, boot.loopback),
        )
        self._hints = Hints(self._table_client, self.board, self._worker, time.monotonic)
        self._api: OpenAIApi | None = None
        self._pipeline: Pipeline | None = None
        self._forwarder: Forwarder | None = None
        self._metering: Metering | None = None
        self._keys: Keys | None = None
        self._started = 0.0
        self._watch = Watch()
        self._leaving = False
        self.overload = Overload(Throttle(boot.settings.max_loop_lag), self._observer, self)
        self.reloader: Reloader | None = None

    def serve(self, cycle: Cycle, addresses: tuple[Any, Any]) -> Awaitable[None]:
        """Answer one request: the API at first hand, the rest by Starlette. See `gateway.http.server.Application`."""
        if self._api is not None and is_api(cycle.path):
            return self._api(cycle)
        if self._boot.settings.admin_api and is_administration(cycle.path):
            return self._worker_control.relay.serve(cycle, addresses)
        return asgi.serve(self._ops, cycle, addresses)

    def malformed(self) -> None:
        """Something came that never became a request."""
        self._observer.request_malformed()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The server's lifespan, which ASGI brings; requests come to `serve`."""
        if scope["type"] != "lifespan":
            raise RuntimeError("the worker is no ASGI application: its server has to be gateway.http.server")
        await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception as error:  # reported to the server, which ends the process
            self._observer.failed(error, "")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Load the configuration and be ready to serve."""
        self.metrics.start()
        self._worker_control.shelf.make()
        loaded, rejected = await self._first_load()
        # Not the loop's time: uvloop keeps that in whole milliseconds. Both count the same monotonic seconds.
        clock = time.monotonic
        self._started = clock()
        await self._learn_prices(loaded.snapshot)
        self._metering = metering = Metering(
            self._boot, self._redis, self._observer, clock, self._worker, self._table_client
        )
        foresight = Foresight(self._dialects)
        accounts = Accounts(self._prices.price_of, foresight, metering.gate.store_clock.at, clock)
        accounts.look_up = self._look_up
        admission = Admission(metering.gate, accounts)
        self._senses = Senses(self.board, clock, admission.quote, admission.headroom.of)
        sender = Sender(self._engines, self._dialects, clock)
        self._worker_control.refused = lambda: self._refused(sender.credentials)
        self._forwarder = forwarder = Forwarder(sender, self.board, self._observer, clock, self._chance)
        snapshot = await self._health_checks.restore(loaded.snapshot)
        self._pipeline = pipeline = Pipeline(
            self._served(snapshot),
            admission,
            forwarder,
            self._observer,
            clock,
            self._boot.settings.max_in_flight,
        )
        pipeline.anonymous = self._boot.loopback
        self._keys = keys = Keys(self._redis, clock=clock, in_use=self._watch.holds)
        keys.on_revoked(self._watch.revoke)
        keys.zone = loaded.snapshot.zone
        pipeline.keys, pipeline.journal = keys, metering.spool
        # A worker that takes another's place may start after the first key was made: then Redis has to say.
        late = clock() - self._boot.made_at > FIRST_WORKERS_SECONDS
        keys.configured = True if self._boot.run_time_keys else (None if late else False)
        await keys.poll()
        settings = self._boot.settings
        cors = Cors(settings.cors_origins)
        self._api = OpenAIApi(pipeline, self._watch, self._observer, settings.max_body_bytes, cors)
        watched = [path for path in (self._boot.config, self._worker_control.shelf.path) if path is not None]
        self.reloader = reloader = Reloader(watched, self._load, self._swap, self._observer, loaded)
        self._worker_control.status = lambda: reloader.status
        self._observer.config_loaded(loaded.snapshot.revision, None)
        await metering.start()
        self._webhook.use(loaded.snapshot.alerts)
        changed_keys = Subscription(self._redis.dial, CHANNEL, keys.notice, keys.missed)
        duties = (
            self.reloader.run(), self._prices.run(), keys.run(), changed_keys.run(), metering.run(),
            self._webhook.run(), self._hints.run(), self._health_checks.run(), self._worker_control.beats.run(),
        )  # fmt: skip
        self._tasks += [asyncio.create_task(duty) for duty in duties]
        self.overload.start()
        self._health_checks.on_change = self._serve
        if rejected:
            # The same mistake again, for the log, the metric and `/readyz`.
            await self._reload(self.reloader)
        with suppress(ValueError, RuntimeError):  # signals are the main thread's: elsewhere only file changes reload
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload_soon)

    async def _learn_prices(self, snapshot: Snapshot) -> None:
        """Look prices up beside what else is to do, or before it where a budget would refuse what has no price yet."""
        work = asyncio.create_task(self._refresh_prices(snapshot))
        if has_budgets(snapshot):
            await work
        else:
            self._tasks.append(work)

    async def _look_up(self, deployments: Sequence[Deployment]) -> None:
        if any(self._prices.pending(deployment) for deployment in deployments):
            with suppress(PriceLookupFailed):
                await self._prices.refresh(deployments)

    async def _refresh_prices(self, snapshot: Snapshot) -> None:
        # What failed is asked again by `run` as soon as a call needs it.
        with suppress(PriceLookupFailed):
            await self._prices.refresh(snapshot.deployments.values())

    def _reload_soon(self) -> None:
        if self.reloader is not None:
            self._tasks = [task for task in self._tasks if not task.done()]
            self._tasks.append(asyncio.create_task(self._reload(self.reloader)))

    async def _reload(self, reloader: Reloader) -> None:
        try:
            await reloader.reload_now()
        except Exception as error:  # a fault of ours while loading: reported, and the last good revision serves on
            self._observer.failed(error, "")

    async def stop(self) -> None:
        """Settle what is open, close connections, write what is queued."""
        self.overload.stop()
        await self._alerts.close()
        await self._webhook.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._reporter.close()
        await self._worker_control.beats.leave()
        if self._keys is not None:
            await self._keys.close()
        if self._forwarder is not None:
            await self._forwarder.close()
        if self._metering is not None:
            await self._metering.close()
        await self._engines.close()
        await self._redis.close()
        await self._table_client.close()
        self.metrics.close()
        self._access_log.close()

    async def _first_load(self) -> tuple[Loaded, bool]:
        """The file, or what was last good of it when it is bad now; whether that happened. Raises ConfigError."""
        try:
            return await self._load(), False
        except ConfigError:
            if self._boot.last_good is None:
                raise
            return self._known(await self._worker_control.joined(self._boot.last_good.loaded)), True

    async def _load(self) -> Loaded:
        defaults = defaults_of(self._boot.settings)
        loaded = await load_cached(
            self._boot.config, os.environ, self._tables, dialects=self._dialects, defaults=defaults
        )
        return self._known(await self._worker_control.joined(loaded))

    def _known(self, loaded: Loaded) -> Loaded:
        """Logs and metrics know the names and the secrets of what is about to be served."""
        self._secrets.values |= known_secrets(loaded.snapshot, self._boot.settings)
        self.metrics.know_models(_names(loaded.snapshot))
        self.metrics.keep_deployments(loaded.snapshot.deployments)
        return loaded

    def _planner(self, snapshot: Snapshot) -> Planner:
        self.board.keep(snapshot.deployments.values())
        for deployment in self._health_checks.configured.deployments:
            self.metrics.show_state(deployment, self.board.state_of(deployment))
        return Planner(snapshot, self._dialects, self._chance, self._senses)

    def _served(self, snapshot: Snapshot) -> tuple[Planner, Policy]:
        shard_of = many_shards if self._redis.cluster else one_shard
        return self._planner(snapshot), Policy(snapshot, shard_of, self._worker)

    def _refused(self, credentials: Credentials) -> tuple[Refused, ...]:
        """What is left out now, to ten seconds: it is told whenever it changes."""
        providers = {} if self._pipeline is None else self._pipeline.planner.snapshot.providers
        now = time.time()
        return tuple(
            Refused(one.provider, one.credential, round(now + one.seconds, -1)) for one in credentials.parked(providers)
        )

    def _swap(self, snapshot: Snapshot) -> None:
        if self._keys is not None:
            self._keys.zone = snapshot.zone
        self._webhook.use(snapshot.alerts)
        self._serve(self._health_checks.use(snapshot))

    def _serve(self, snapshot: Snapshot) -> None:
        """Take a whole snapshot into service: the configured one, with what providers list."""
        assert self._pipeline is not None
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(self._refresh_prices(snapshot)))
        self._pipeline.use(*self._served(snapshot))
        self.metrics.keep_budgets(snapshot.quotas)

    # ---- the end, see `gateway.http.lifetime.Drainable`

    @property
    def in_flight(self) -> int:
        """Calls that run."""
        return self._pipeline.in_flight if self._pipeline is not None else 0

    def held_up(self) -> float:
        """See `gateway.http.overload.Load`."""
        return self._pipeline.held_up() if self._pipeline is not None else 0.0

    def leave(self) -> None:
        """Be ready no more, and serve on."""
        self._leaving = True
        self.overload.stop()

    def refuse(self) -> None:
        """Take in no more calls."""
        self._leaving = True
        if self._pipeline is not None:
            self._pipeline.draining = True

    def end(self) -> None:
        """Tell every call that still runs that it is over."""
        self._watch.drain()

    # ---- readiness

    @property
    def revision(self) -> str:
        """The revision in service."""
        return self.reloader.status.revision if self.reloader is not None else ""

    def blockers(self) -> list[str]:
        """Why no traffic should come here."""
        if self._pipeline is None:
            return ["starting"]
        if self._leaving:
            return ["draining"]
        if self._pipeline.journal is not None and not self._pipeline.journal.healthy:
            return [UNRECORDED]
        return [KEYS_UNKNOWN] if self._keys_unknown and time.monotonic() - self._started < KEYS_SECONDS else []

    @property
    def _keys_unknown(self) -> bool:
        """There are keys made at run time, and no list of them."""
        keys = self._keys
        return keys is not None and bool(keys.configured) and not keys.available

    def remarks(self) -> list[str]:
        """What operators should know."""
        found = []
        status = self.reloader.status if self.reloader is not None else None
        if status is not None and status.last_error is not None:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(status.loaded_at))
            found.append(f"configuration rejected, serving revision {status.revision} of {since}: {status.last_error}")
        found += self._worker_control.remarks()
        if not self._redis.available:
            found.append("redis away: limits are enforced as their on_store_failure says")
        if self._keys_unknown and KEYS_UNKNOWN not in self.blockers():
            found.append(KEYS_UNKNOWN)
        return found


class LastGood:
    """The configuration that was last good, kept by the process that forks the workers."""

    def __init__(self, path: Path | None, load: Callable[[], Loaded]) -> None:
        """Raises ConfigError."""
        self._path = path
        self._load = load
        self._seen = self._signature()
        self.loaded = load()
        self.trouble: str | None = None
        """Why the file, as it is now, is not what is kept."""

    def refresh(self) -> None:
        """Look whether the file changed, and keep it if it is good. The workers report what is bad."""
        seen = self._signature()
        if seen != self._seen:
            self._seen = seen
            try:
                self.loaded, self.trouble = self._load(), None
            except ConfigError as error:
                self.trouble = str(error)

    def _signature(self) -> tuple[int, int, int, int] | None:
        try:
            facts = self._path.stat() if self._path is not None else None
        except OSError:
            facts = None
        return None if facts is None else (facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size)


def defaults_of(settings: Settings) -> Defaults:
    """What the environment sets for providers that do not say otherwise."""
    if settings.provider_request_timeout is None:
        return Defaults(settings.provider_max_retries)
    return Defaults(settings.provider_max_retries, settings.provider_request_timeout)


def _names(snapshot: Snapshot) -> set[str]:
    """Every model name that the configuration itself knows."""
    plain = {model for route in snapshot.routes for model in route.match.models}
    return plain | set(snapshot.aliases) | set(snapshot.models) | set(snapshot.deployments)
