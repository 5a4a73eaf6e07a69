"""What the admin API's routes call: made by the process that serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends
from starlette.requests import Request

from gateway.http.admin.filed import Filed

if TYPE_CHECKING:
    from gateway.auth.records import Change
    from gateway.http.admin.authentication import Authenticator
    from gateway.ports import Dialect
    from gateway.registry.resources.errors import Problem
    from gateway.registry.resources.repository import Resources
    from gateway.registry.resources.status import RegistryStatus
    from gateway.registry.snapshot import Snapshot
    from gateway.settings import Settings
    from gateway.storage.sql.database import Database
    from gateway.upstream.checkup import Examiner
    from gateway.vault import Vault


class Unseal(Protocol):
    """Of a sealed text, in its context. Raises VaultError."""

    def __call__(self, token: str, *, context: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Services:
    """The rooms behind the API."""

    settings: Settings
    dialects: Mapping[str, Dialect]
    """The provider types that this gateway speaks."""
    database: Database
    authenticator: Authenticator
    snapshot: Callable[[], Snapshot]
    """The configuration in service: file and database together."""
    tell_keys: Callable[[Change], Awaitable[bool]]
    """Tell the workers' store of a change of keys; whether it took all of it. Raises StoreUnavailable."""
    resources: Resources
    """What is managed at run time."""
    registry: RegistryStatus
    """Whether every worker serves it."""
    vault: Vault
    """Seals what is kept of answers."""
    unseal: Unseal
    """Opens what credentials hold."""
    examiner: Examiner
    """Looks at providers."""
    opened: Callable[[], Awaitable[Snapshot]]
    """The configuration in service with its secrets, as workers have it: for tests of providers alone."""
    document: Callable[[], Mapping[str, Any]] = dict
    """The configuration file as it is written: before its variables are filled in."""
    parked: Callable[[], Sequence[Problem]] = tuple
    """Resources of the database that do not fit the file any more, and why."""
    filed: Filed = field(init=False, repr=False)
    """The file's resources."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "filed", Filed(self.document))


def services_of(request: Request) -> Services:
    """Those of the application that serves this request."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services_of)]
"""The services, for endpoints."""
