"""Do all workers of all replicas serve the newest configuration? What each of them says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.registry.resources.heartbeats import Beat, converged, everybody
from gateway.storage.errors import StoreUnavailable
from gateway.storage.sql.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from gateway.registry.resources.judging import Picture
    from gateway.registry.resources.propagation import Propagation
    from gateway.registry.resources.repository import Resources
    from gateway.storage.redis import RedisClient


@dataclass(frozen=True, slots=True)
class Status:
    """One look."""

    resources: int | None
    """The newest revision of the database's resources; None while it cannot be asked."""
    kept: int
    """The revision that this replica has laid out for its workers."""
    converged: bool
    workers: tuple[Beat, ...]
    parked: tuple[str, ...]
    """Resources that do not fit the file of this replica, and why."""
    trouble: tuple[str, ...] = ()


class RegistryStatus:
    """Looks when it is asked."""

    def __init__(self, resources: Resources, propagation: Propagation, picture: Picture, redis: RedisClient) -> None:
        self._resources = resources
        self._propagation = propagation
        self._picture = picture
        self._redis = redis

    async def refresh(self) -> None:
        """Lay out what is new for the workers now, and have the other replicas look."""
        await self._propagation.round()

    async def look(self) -> Status:
        """What is known now; what cannot be asked is told as trouble."""
        trouble = [] if self._propagation.trouble is None else [self._propagation.trouble]
        revision: int | None = None
        beats: list[Beat] = []
        try:
            revision = await self._resources.revision()
        except DatabaseUnavailable as error:
            trouble.append(f"the database cannot be asked: {error}")
        try:
            beats = await everybody(self._redis)
        except StoreUnavailable as error:
            trouble.append(f"the workers cannot be heard: {error}")
        newest = self._propagation.kept if revision is None else revision
        return Status(
            revision,
            self._propagation.kept,
            converged(beats, newest),
            tuple(beats),
            self._picture.snapshot().parked,
            tuple(dict.fromkeys(trouble)),
        )
