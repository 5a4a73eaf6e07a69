"""What every noun does to resources: find, list, create, change, remove; on behalf of one caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from sqlalchemy import select
from starlette.requests import Request

from gateway.http.admin.authentication import address_of
from gateway.http.admin.field_names import WORDS, field_of
from gateway.http.admin.filed import is_filed
from gateway.http.admin.paging import cut_sorted, read_cursor
from gateway.http.admin.problems import Clash, NotThere
from gateway.http.admin.services import services_of
from gateway.registry.problems import did_you_mean
from gateway.registry.resources.errors import Conflict
from gateway.registry.resources.kinds import context_of
from gateway.registry.resources.operations import Create, Delete, Operation, Update
from gateway.registry.resources.records import WITHIN_PROVIDERS, Author, Kind, Resource
from gateway.registry.resources.rows import table_of
from gateway.vault import VaultError

if TYPE_CHECKING:
    from gateway.auth.admins import Actor
    from gateway.http.admin.services import Services
    from gateway.registry.resources.repository import Committed

Test = Callable[[Resource], bool]


@dataclass(frozen=True, slots=True)
class Listing:
    """Which part of a list. `sort` with a dash in front: from the largest down."""

    limit: int
    cursor: str | None
    sort: str
    tests: Sequence[Test] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A page, and how many there are in all."""

    items: list[Resource]
    next_cursor: str | None
    total: int


class ResourceService:
    """Resources of file and database, for one caller. Raises what `Resources` raises, and problems of its own."""

    def __init__(self, services: Services, caller: Actor, author: Author) -> None:
        self.services = services
        self.caller = caller
        self.author = author

    # ---- reading

    async def page(self, kind: Kind, wanted: Listing, provider: Resource | None = None) -> Listed:
        """Both kinds of resources in one order."""
        word = wanted.sort.lstrip("-")
        after = read_cursor(wanted.cursor, wanted.sort, _KINDS[word], str)
        state = await self.services.resources.state()
        every = [*self.services.filed(kind), *state.of(kind).values()]
        found = [
            one
            for one in every
            if (provider is None or one.provider_id == provider.id) and all(test(one) for test in wanted.tests)
        ]
        part = cut_sorted(found, wanted.limit, wanted.sort, lambda one: (_value(one, word), one.id), after)
        return Listed(await self._observed(kind, part.items), part.next_cursor, len(found))

    async def find(self, kind: Kind, wanted: str) -> Resource:
        """By id, and by name where names are unique. Raises NotThere."""
        state = await self.services.resources.state()
        found = state.of(kind).get(wanted)
        if found is None and kind not in WITHIN_PROVIDERS:
            found = state.named(kind, wanted)
        if found is not None:
            return (await self._observed(kind, [found]))[0]
        there = self.services.filed(kind)
        declared = next((one for one in there if one.id == wanted), None)
        if declared is not None:
            return declared
        known = [one.name for one in (*state.of(kind).values(), *there)] if kind not in WITHIN_PROVIDERS else []
        word = WORDS[kind]
        raise NotThere(
            f"There is no {word} of this id{did_you_mean(wanted, known)}.",
            field="id",
            suggestions=[f"List the {word}s to see those there are."],
        )

    async def find_all(self, kind: Kind, ids: Sequence[str]) -> list[Resource]:
        """Several, by id. Raises NotThere for the first one that is missing."""
        state = await self.services.resources.state()
        declared = {one.id: one for one in self.services.filed(kind)}
        known = {**declared, **state.of(kind)}
        missing = [one for one in ids if one not in known]
        if missing:
            return [await self.find(kind, missing[0])]
        return await self._observed(kind, [known[one] for one in ids])

    async def names_of_providers(self) -> Mapping[str, str]:
        """By id."""
        state = await self.services.resources.state()
        named = {one.id: one.name for one in self.services.filed(Kind.PROVIDER)}
        return named | {one.id: one.name for one in state.of(Kind.PROVIDER).values()}

    def problems(self) -> Mapping[str, str]:
        """By id: why resources of the database are not served though they are there."""
        return {one.id: f"{one.field}: {one.message}".lstrip(": ") for one in self.services.parked()}

    def trouble_of(self, credential: Resource) -> str | None:
        """Why nothing can be called with this credential, if so."""
        if credential.secret is None:
            if credential.settings.get("references"):
                return None
            return "it holds nothing: rotate it to a secret or a reference"
        try:
            self.services.unseal(credential.secret, context=context_of(credential.id))
        except VaultError as error:
            return str(error)
        return None

    async def _observed(self, kind: Kind, items: Sequence[Resource]) -> list[Resource]:
        """With what was found out about them, which changes without a revision."""
        ids = [one.id for one in items if not is_filed(one)]
        if not ids:
            return list(items)
        table = table_of(kind)
        async with self.services.database.connect() as connection:
            rows = await connection.execute(select(table.c.id, table.c.observed).where(table.c.id.in_(ids)))
            found = {row.id: row.observed for row in rows}
        return [one if is_filed(one) else _with(one, found.get(one.id) or {}) for one in items]

    # ---- changing

    async def create(self, wanted: Create) -> tuple[Resource, bool]:
        """The new resource and True; the one that is there already and False, if it says the same. Raises Conflict for
        another one under its name."""
        try:
            made = await self.change(wanted)
        except Conflict as conflict:
            there = (await self.services.resources.state()).named(wanted.kind, wanted.name, wanted.provider)
            if there is None or conflict.taken is None or not _same(there, wanted):
                raise
            return there, False
        return made.the(wanted.kind), True

    async def update(self, wanted: Update) -> Resource:
        """The resource as it is then, though nothing may have changed."""
        await self.change(wanted)
        return await self.find(wanted.kind, wanted.id)

    async def remove(self, resource: Resource, version: int | None, *, cascade: bool) -> None:
        """Remove it. Raises Conflict, which says who refers to it, unless `cascade`."""
        self.refuse_filed(resource)
        await self.change(Delete(resource.kind, resource.id, version, cascade))

    async def change(self, *operations: Operation) -> Committed:
        """All of them, or nothing. Raises Clash for a name that the configuration file has."""
        for operation in operations:
            if isinstance(operation, Create | Update) and operation.kind not in WITHIN_PROVIDERS:
                await self._refuse_filed_name(operation)
        return await self.services.resources.change(self.author, operations)

    async def observe(self, resource: Resource, facts: Mapping[str, Any]) -> None:
        """Keep what was found out about it; of the file's, nothing is kept."""
        if not is_filed(resource):
            await self.services.resources.observe(resource.kind, resource.id, {**resource.observed, **facts})

    def refuse_filed(self, resource: Resource) -> None:
        """Raises Clash for a resource of the configuration file."""
        if is_filed(resource):
            raise Clash(
                f"This {WORDS[resource.kind]} is declared in the configuration file.",
                suggestions=["Change it there: the gateway takes changes of the file up by itself."],
            )

    async def _refuse_filed_name(self, wanted: Create | Update) -> None:
        kind = wanted.kind
        if not any(one.name == wanted.name for one in self.services.filed(kind)):
            return
        there = (await self.services.resources.state()).of(kind).get(wanted.id or "")
        if there is None or there.name != wanted.name:  # what the file declared later keeps its name
            raise Clash(
                f"The configuration file has a {WORDS[kind]} of this name, and the file wins.",
                field=field_of(kind, "name"),
                suggestions=["Choose another name."],
            )


def _with(resource: Resource, observed: Mapping[str, Any]) -> Resource:
    return replace(resource, observed=observed)


def _same(there: Resource, wanted: Create) -> bool:
    """Whether creating it again would give the same. A secret cannot be compared."""
    return (
        dict(there.settings) == dict(wanted.settings)
        and dict(there.details) == dict(wanted.details)
        and wanted.secret is None
    )


_KINDS: dict[str, type] = {"name": str, "created_at": float, "updated_at": float, "position": int}


def _value(resource: Resource, word: str) -> Any:
    if word == "position":
        # Rules of the file come first, as they do for calls.
        place = resource.position or 0
        return place - 1_000_000 if is_filed(resource) else place
    return getattr(resource, word)


def author_of(request: Request, caller: Actor) -> Author:
    """Who changes something, and from where."""
    return Author(caller.name, caller.kind, caller.role.value, address_of(request), request.state.request_id)


def _service(request: Request) -> ResourceService:
    actor: Actor = request.state.actor
    return ResourceService(services_of(request), actor, author_of(request, actor))


ServiceDep = Annotated[ResourceService, Depends(_service)]
"""The one of this request's caller, for endpoints."""


def searching(text: str | None) -> list[Test]:
    """Part of the name."""
    return [] if text is None else [lambda one: text.lower() in one.name.lower()]


def setting(name: str, value: str | None, default: str | None = None) -> list[Test]:
    """A setting has this value."""
    return [] if value is None else [lambda one: one.settings.get(name, default) == value]
