"""One worker's part in the control plane, wired together: what is managed at run time, what it says of itself, and the
way to the administrator."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.http.relay import AdminRelay
from gateway.ports import Dialect, Engine, Secrets
from gateway.registry.compiling import Context
from gateway.registry.resources.heartbeats import Beat, Heartbeats, Refused
from gateway.registry.resources.intake import Intake
from gateway.registry.resources.shelf import Shelf
from gateway.storage.socket_path import socket_path

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.registry.compile_providers import Defaults
    from gateway.registry.loader import Loaded
    from gateway.registry.reload import Status
    from gateway.registry.snapshot import Snapshot
    from gateway.settings import Settings
    from gateway.storage.redis import RedisClient

SOCKET = "admin.sock"
MOST_TOLD = 20


def admin_socket(data_dir: Path) -> Path:
    """Where the administrator listens."""
    return socket_path(data_dir, SOCKET)


@dataclass(frozen=True, slots=True)
class Seat:
    """Which worker this is, and where."""

    replica: str
    worker: str
    loopback: bool
    """The gateway listens on a loopback address."""


@dataclass(frozen=True, slots=True)
class AdministratorBoot:
    """What the administrator needs to know to start."""

    settings: Settings
    redis_url: str
    admin_key: str = field(repr=False)
    file: Callable[[], Loaded]
    """The configuration file as it is now, or was last good."""
    context: Context
    dialects: Mapping[str, Dialect]
    secrets: Secrets = field(default_factory=Secrets, repr=False)


class WorkerControl:
    """Joins resources to what is loaded of the file, and tells all replicas what came of it."""

    def __init__(
        self,
        settings: Settings,
        context: Context,
        engine: Callable[[], Engine],
        redis: RedisClient,
        seat: Seat,
    ) -> None:
        self._seat = seat
        self._administered = settings.admin_api
        """Otherwise what an administrator left is nobody's complaint."""
        self.shelf = Shelf(settings.data_dir)
        self.intake = Intake(self.shelf, settings, os.environ, context)
        self.relay = AdminRelay(
            engine, admin_socket(settings.data_dir), loopback=seat.loopback, proxies=settings.trusted_proxies
        )
        self.status: Callable[[], Status | None] = lambda: None
        """What is served, as the reloader has it."""
        self.refused: Callable[[], tuple[Refused, ...]] = tuple
        """Credentials that their providers refuse at the moment."""
        self._snapshot: Snapshot | None = None
        self.beats = Heartbeats(redis, self._beat)

    async def joined(self, loaded: Loaded) -> Loaded:
        """See `Intake.joined`."""
        found = await self.intake.joined(loaded)
        self._snapshot = found.snapshot
        return found

    def remarks(self) -> list[str]:
        """What operators should know."""
        found = [f"resources of the database: {self.intake.trouble}"] if self.intake.trouble is not None else []
        complaint = self.shelf.complaint() if self._administered else None
        if complaint is not None:
            found.append(f"control plane: what admins change does not come here: {complaint}")
        return [*found, *self._parked()]

    def _parked(self) -> tuple[str, ...]:
        return () if self._snapshot is None else self._snapshot.parked[:MOST_TOLD]

    def _beat(self) -> Beat:
        status = self.status()
        trouble = self.intake.trouble
        return Beat(
            replica=self._seat.replica,
            worker=self._seat.worker,
            revision="" if status is None else status.revision,
            resources=0 if status is None else status.resources,
            loaded_at=0.0 if status is None else status.loaded_at,
            last_error=trouble if status is None or status.last_error is None else status.last_error,
            parked=self._parked(),
            refused=self.refused(),
        )


def context_of(settings: Settings, dialects: Mapping[str, Dialect], defaults: Defaults) -> Context:
    """What a worker's configuration is compiled with."""
    return Context(dialects, defaults, settings.private_networks)
