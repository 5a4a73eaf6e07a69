"""The registry: which revision each worker serves, and having them look again."""

from __future__ import annotations

from pydantic import Field

from gateway.auth.admins import Role
from gateway.http.admin.moments import iso
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import Services, ServicesDep
from gateway.http.admin.shapes import Shown, Stamp

routes = Routes("revisions")


class RefusedCredential(Shown):
    """A credential that its provider refuses: others serve in its place until then."""

    provider: str
    credential: str
    until: Stamp


class WorkerShown(Shown):
    """One worker of one replica."""

    replica: str
    worker: str
    revision: str = Field(description="As `x-gateway-revision` tells it.")
    resources: int = Field(description="The revision of the resources that it serves.")
    loaded_at: Stamp
    last_error: str | None
    parked: list[str]
    refused: list[RefusedCredential]
    seen_at: Stamp


class RegistryShown(Shown):
    """Whether everybody serves the newest configuration."""

    converged: bool
    revision: str = Field(description="Of the whole configuration, as this replica knows it.")
    resources: int | None = Field(description="The newest revision of the resources; null: the database is away.")
    laid_out: int = Field(description="The revision that this replica has given to its workers.")
    parked: list[str] = Field(description="Resources that do not fit the file, and why.")
    trouble: list[str]
    workers: list[WorkerShown]


@routes.get("/providers/registry-status", "/registry/status", policy=Role.VIEWER, summary="Status of the registry")
async def registry_status(services: ServicesDep) -> RegistryShown:
    """The revision of each worker of each replica, when it was loaded, and what went wrong."""
    return await _looked(services)


@routes.post("/providers/refresh-registry", "/registry/refresh", policy=Role.OPERATOR, summary="Refresh the registry")
async def refresh_registry(services: ServicesDep) -> RegistryShown:
    """Look at the database now and give the workers what is new; they do so by themselves within seconds, too."""
    await services.registry.refresh()
    return await _looked(services)


async def _looked(services: Services) -> RegistryShown:
    status = await services.registry.look()
    return RegistryShown(
        converged=status.converged,
        revision=services.snapshot().revision,
        resources=status.resources,
        laid_out=status.kept,
        parked=list(status.parked),
        trouble=list(status.trouble),
        workers=[
            WorkerShown(
                replica=one.replica,
                worker=one.worker,
                revision=one.revision,
                resources=one.resources,
                loaded_at=iso(one.loaded_at) or "",
                last_error=one.last_error,
                parked=list(one.parked),
                refused=[
                    RefusedCredential(provider=bad.provider, credential=bad.credential, until=iso(bad.until) or "")
                    for bad in one.refused
                ],
                seen_at=iso(one.at) or "",
            )
            for one in status.workers
        ],
    )
