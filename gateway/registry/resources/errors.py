"""Why a change of resources is refused. What the database itself raises (DatabaseUnavailable) goes on as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.registry.resources.kinds import Kind


class ResourceError(Exception):
    """The base: nothing was changed. Its text is for people who administer and holds no secret."""


class NotFound(ResourceError):
    """There is no such resource."""

    def __init__(self, kind: Kind, wanted: str) -> None:
        super().__init__(f"There is no resource {wanted!r} among {kind}.")
        self.kind = kind
        self.wanted = wanted


class Reference(NamedTuple):
    """Who refers to something: `field` is where."""

    kind: str
    id: str
    name: str
    field: str = ""


class Conflict(ResourceError):
    """The name is `taken` among resources of a kind, or others still refer to it: `by` says who, `cascades` whether a
    cascade would take them along."""

    def __init__(
        self, message: str, by: Sequence[Reference] = (), taken: Kind | None = None, *, cascades: bool = False
    ) -> None:
        super().__init__(message)
        self.by = tuple(by)
        self.taken = taken
        self.cascades = cascades


class Redirected(ResourceError):
    """Stored credentials would go elsewhere, and their author is not known to know them."""

    def __init__(self, provider: str, credentials: Sequence[str]) -> None:
        listed = ", ".join(credentials[:10])
        super().__init__(
            f"The stored credentials of provider {provider!r} ({listed}) would be sent elsewhere: only an admin may "
            "change that."
        )


class NewReference(ResourceError):
    """A secret of the house would be read for somebody who may not know it, and sent to a place of their choice."""

    def __init__(self, credential: str, reference: str) -> None:
        super().__init__(
            f"Credential {credential!r} refers to {reference!r}, which no stored credential of a provider at that "
            "address does: only an admin may do that."
        )


class VersionMismatch(ResourceError):
    """It was changed since it was read."""

    def __init__(self, kind: Kind, name: str, found: int) -> None:
        super().__init__(f"{name!r} among {kind} was changed meanwhile: it is at version {found} now.")
        self.kind = kind
        self.found = found


class CannotSeal(ResourceError):
    """There is no key to encrypt secrets with."""

    def __init__(self) -> None:
        super().__init__(
            "Secrets cannot be stored: ENCRYPTION_KEY is not set. Set it on every replica, or store a reference "
            "(env:NAME, file:PATH) instead."
        )


class KeyReplaced(ResourceError):
    """Others open with another key by now: what is sealed with this one they could not open."""

    def __init__(self) -> None:
        super().__init__(
            "Secrets cannot be stored here: stored credentials have another ENCRYPTION_KEY by now. "
            "Restart this replica with the new one."
        )


class Problem(NamedTuple):
    """One mistake: where in which resource, and what to do."""

    kind: str
    id: str
    name: str
    field: str
    """`base_url`, `targets.0.model`; empty: the resource as a whole."""
    message: str


class Rejected(ResourceError):
    """The configuration would not hold with this change.

    `only` is the id of the one resource that was to be changed; None where there are several, or none yet. A problem of
    any other is told with its name.
    """

    def __init__(self, problems: Sequence[Problem], only: str | None = None) -> None:
        self.problems = tuple(problems)
        self.only = only
        super().__init__("\n".join(f"{one.kind} {one.name}: {one.field}: {one.message}" for one in self.problems))
