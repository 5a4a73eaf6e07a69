"""`gateway serve`: check everything, then hand over to the supervisor; each worker runs uvicorn with our
application."""

from __future__ import annotations

import gc
import os
import secrets
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from gateway.administrator import run_administrator
from gateway.app import Boot, LastGood, Worker, defaults_of
from gateway.audit.known import known_secrets
from gateway.auth.boot import any_keys, is_weak
from gateway.bookkeeper import BookkeeperBoot, run_bookkeeper
from gateway.errors import OperatorError
from gateway.http.descriptors import most_connections
from gateway.http.drain import Drain
from gateway.http.lifetime import HURRY, LAST_WORDS_SECONDS, Server
from gateway.http.server import Protocol
from gateway.ports import Secrets
from gateway.registry.loader import Loaded, load
from gateway.registry.plugins import dialects_for
from gateway.registry.resources.fragment import BadFragment
from gateway.registry.resources.intake import Intake, open_vault
from gateway.registry.resources.judging import Picture
from gateway.registry.resources.shelf import Shelf
from gateway.registry.snapshot import Snapshot
from gateway.settings import Settings
from gateway.storage.companions import Companions
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.lock import DirectoryLock
from gateway.supervisor import Supervisor, bind
from gateway.telemetry import logs, shared
from gateway.telemetry.open_files import raise_limit
from gateway.telemetry.processes import ProcessMetrics
from gateway.worker_control import AdministratorBoot, context_of

KEEP_ALIVE = 75
"""Seconds that an idle client connection stays open: longer than load balancers' usual 60."""
GC_THRESHOLD = 20_000
"""Objects made and not freed before the youngest are looked through; Python's own is 700."""
SETTLE_SECONDS = 10
"""How long a worker may take to settle and close everything once its last call has ended."""
FEW = 3
"""Warnings that are worth a line each at start-up."""


def serve(settings: Settings, config: Path | None) -> int:
    """Run the gateway until a signal ends it; the exit code. Raises OperatorError for what the operator must change."""
    dialects, defaults = dialects_for(config), defaults_of(settings)
    last_good = LastGood(config, lambda: load(config, os.environ, dialects=dialects, defaults=defaults))
    snapshot = last_good.loaded.snapshot
    loopback = _is_loopback(settings.host)
    run_time_keys = _guarded(settings, snapshot, loopback=loopback)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    secrets_known = Secrets(known_secrets(snapshot, settings))
    logs.configure(settings.log_level, secrets_known)
    logs.adopt_strays()
    raise_limit()
    embedded = EmbeddedRedis(settings.data_dir) if settings.redis_url is None else None
    # The embedded server locks the directory itself; with another server it is the spool and the sockets that are ours.
    lock = DirectoryLock(settings.data_dir) if embedded is None else None
    listener = bind(settings.host, settings.port)
    try:
        if embedded is not None:
            embedded.start()
        if lock is not None:
            lock.acquire()
        metrics_dir = shared.fresh_directory(settings.data_dir)
        processes = ProcessMetrics(metrics_dir)
        prove_key(settings)
        boot = Boot(
            settings=settings,
            config=config,
            redis_url=settings.redis_url.get_secret_value() if settings.redis_url is not None else _url(embedded),
            loopback=loopback,
            metrics_dir=metrics_dir,
            workers=settings.workers,
            last_good=last_good,
            run_time_keys=run_time_keys,
            secrets=secrets_known,
            replica=replica_name(settings.data_dir),
            dialects=dialects,
            companions=Companions(settings.workers),
        )
        _announce(settings, last_good.loaded, listener.getsockname()[1])
        return Supervisor(
            listener=listener,
            serve=partial(run_worker, boot),
            workers=settings.workers,
            embedded=embedded,
            sweep=processes.sweep,
            died=processes.died,
            refresh=last_good.refresh,
            drain_seconds=settings.drain_grace_seconds + settings.drain_seconds + LAST_WORDS_SECONDS + SETTLE_SECONDS,
            keep_books=partial(run_bookkeeper, _books(boot, last_good)),
            administer=partial(run_administrator, _control(boot, last_good)) if settings.admin_api else None,
        ).run()
    finally:
        listener.close()
        if lock is not None:
            lock.release()
        if embedded is not None:
            embedded.stop()


def _books(boot: Boot, last_good: LastGood) -> BookkeeperBoot:
    """What the bookkeeper is told."""
    return BookkeeperBoot(
        settings=boot.settings,
        redis_url=boot.redis_url,
        metrics_dir=boot.metrics_dir,
        secrets=boot.secrets,
        file_keys=partial(_file_keys, last_good),
        snapshot=Picture(partial(_file, last_good), _intake(boot)).snapshot,
        trouble=lambda: last_good.trouble,
        replica=boot.replica,
    )


def _guarded(settings: Settings, snapshot: Snapshot, *, loopback: bool) -> bool:
    """Whether keys were made at run time. Raises OperatorError when nobody would need a key on an open address."""
    address = settings.database_url.get_secret_value() if settings.database_url is not None else None
    run_time_keys = any_keys(address, settings.data_dir)
    if not loopback and snapshot.open_mode and not run_time_keys and settings.admin_key is None:
        raise OperatorError(
            f"will not listen on {settings.host} without keys: add `keys:` to the configuration, make one with "
            "`gateway keys create`, set GATEWAY_ADMIN_KEY, or use --host 127.0.0.1"
        )
    if not loopback and settings.admin_key is not None and is_weak(settings.admin_key.get_secret_value()):
        raise OperatorError(
            f"will not listen on {settings.host} with this GATEWAY_ADMIN_KEY: it is short, or everybody tries it. "
            "Use a random one, such as the output of `openssl rand -hex 32`, or --host 127.0.0.1"
        )
    return run_time_keys


def run_worker(boot: Boot, listener: socket.socket, place: int) -> None:
    """Serve on the shared socket until SIGTERM, as the worker in this place."""
    logs.configure(boot.settings.log_level, boot.secrets, background=True)
    settings, worker = boot.settings, Worker(boot, place)
    config = uvicorn.Config(
        worker,
        http=Protocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        limit_concurrency=most_connections(),
        # Our own drain is over by then.
        timeout_graceful_shutdown=LAST_WORDS_SECONDS,
    )
    server = Server(config, worker, Drain(settings.drain_grace_seconds, settings.drain_seconds))
    _spare_the_collector()
    # Before uvicorn listens for signals and after, there is nothing that would have to be ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(HURRY, server.handle_exit)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        logs.close()
    if not server.started:
        raise SystemExit(3)


def _spare_the_collector() -> None:
    """Modules and configuration live as long as the worker: the garbage collector need not walk them again and again.

    A request makes hundreds of short-lived objects and no cycles to speak of, so it may also look more rarely.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)


def _file_keys(last_good: LastGood) -> frozenset[str]:
    """The names of the file's keys, as it is now."""
    return frozenset(_snapshot(last_good).virtual_keys)


def _control(boot: Boot, last_good: LastGood) -> AdministratorBoot:
    settings, dialects = boot.settings, boot.dialects or {}
    return AdministratorBoot(
        settings=settings,
        redis_url=boot.redis_url,
        admin_key=known_admin_key(settings),
        file=partial(_file, last_good),
        context=context_of(settings, dialects, defaults_of(settings)),
        dialects=dialects,
        secrets=boot.secrets,
    )


def _intake(boot: Boot) -> Intake:
    """For who needs no secrets."""
    settings = boot.settings
    context = context_of(settings, boot.dialects or {}, defaults_of(settings))
    return Intake(Shelf(settings.data_dir), settings, os.environ, context)


def _file(last_good: LastGood) -> Loaded:
    """The configuration file, as it is now."""
    last_good.refresh()
    return last_good.loaded


def _snapshot(last_good: LastGood) -> Snapshot:
    """The configuration, as it is now."""
    return _file(last_good).snapshot


def replica_name(directory: Path) -> str:
    """What this gateway is called among those that share a store, the same after every restart. Raises OSError."""
    path = directory / "replica.id"
    with suppress(FileNotFoundError):
        if found := path.read_text(encoding="ascii").strip():
            return found
    name = f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
    path.write_text(f"{name}\n", encoding="ascii")
    return name


def prove_key(settings: Settings) -> None:
    """Raises OperatorError when what this replica keeps was sealed with another ENCRYPTION_KEY. What a passphrase is
    stretched to is kept for the workers."""
    try:
        fragment = Shelf(settings.data_dir).read()
    except BadFragment:
        return  # it is laid out anew; what workers make of it they say in /readyz
    if fragment is not None and fragment.providers:
        open_vault(settings, fragment)


def _url(embedded: EmbeddedRedis | None) -> str:
    assert embedded is not None
    return embedded.url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def admin_key(settings: Settings) -> tuple[str | None, Path]:
    """The admin key if it was made just now (None when there was one), and the file that keeps it, readable by us
    alone."""
    path = settings.data_dir / "admin.key"
    if settings.admin_key is not None or path.exists():
        return None, path
    key = f"gwa-{secrets.token_urlsafe(32)}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{key}\n")
    return key, path


def known_admin_key(settings: Settings) -> str:
    """The key that opens the admin API. Raises OSError when its file cannot be read."""
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value()
    return (settings.data_dir / "admin.key").read_text(encoding="ascii").strip()


def _announce(settings: Settings, loaded: Loaded, port: int) -> None:
    """What a person needs to begin, on standard error: standard output belongs to the access log."""
    snapshot = loaded.snapshot
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    base = f"http://{host}:{port}/v1"
    model = next(iter(snapshot.models), "mock/mock-small")
    key = "" if snapshot.open_mode else " -H 'authorization: Bearer YOUR_KEY'"
    body = f'{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}'
    made, path = admin_key(settings)
    lines = [
        "",
        f"  base URL   {base}",
        f"  try it     curl {base}/chat/completions -H 'content-type: application/json'{key} -d '{body}'",
    ]
    if made is not None and sys.stderr.isatty():  # elsewhere standard error is a log, which more people read
        lines.append(f"  admin key  {made}   (kept in {path})")
    elif settings.admin_key is None:
        lines.append(f"  admin key  in {path}")
    lines += [f"  note       {note}" for note in _notes(loaded)]
    sys.stderr.write("\n".join(lines) + "\n\n")
    sys.stderr.flush()


def _notes(loaded: Loaded) -> list[str]:
    """The warnings, one by one; many of them, as the default configuration has, are left to `gateway check`."""
    warnings = loaded.warnings
    inactive = sum(provider.status == "inactive" for provider in loaded.snapshot.providers.values())
    if len(warnings) <= FEW:
        return [*warnings]
    return [f"{len(warnings)} warnings ({inactive} providers are inactive); `gateway check` tells them"]
