"""The resources of one database: read, and changed in transactions that hold the whole configuration together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import update

from gateway.registry.resources import history, rows, vetting
from gateway.registry.resources.applying import Seal, Stamp, apply
from gateway.registry.resources.destinations import refuse_redirection, refuse_references
from gateway.registry.resources.errors import Conflict, NotFound, Problem, Reference, Rejected
from gateway.registry.resources.fragment import Fragment, fragment_of
from gateway.registry.resources.operations import Create, Operation, Rotate
from gateway.registry.resources.paging import Page, Query, one, page
from gateway.registry.resources.records import Author, Change, Kind, Resource, State
from gateway.registry.resources.teams import keys_of_team

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.storage.sql.database import Database

Record = Callable[["AsyncConnection", int, Author, Change], Awaitable[None]]
"""Writes one change into the audit, in the transaction of the change. Its first number is the new revision."""
Prove = Callable[["AsyncConnection"], Awaitable[None]]
"""That what is sealed here can be opened by others. Raises KeyReplaced."""
Judge = Callable[[Fragment], Sequence[Problem]]
"""What of this fragment does not fit the configuration file. Called beside the loop."""


FIRST_PAGE = Query()


class Told(Protocol):
    """Called after each commit."""

    def __call__(self, state: State) -> None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What a change is held against besides itself."""

    judge: Judge
    bounds: vetting.Bounds


@dataclass(frozen=True, slots=True)
class Committed:
    """A change that holds: its revision, and every resource that it touched, as it is now or was last."""

    revision: int
    changes: tuple[Change, ...]

    @property
    def items(self) -> tuple[Resource, ...]:
        return tuple(change.resource for change in self.changes)

    def the(self, kind: Kind) -> Resource:
        """The first one of this kind. Raises LookupError."""
        found = next((one.resource for one in self.changes if one.kind is kind), None)
        if found is None:
            raise LookupError(kind)
        return found


class Resources:
    """Every method raises DatabaseUnavailable. `seal` is None while there is no key to encrypt with."""

    def __init__(
        self,
        database: Database,
        rules: Rules,
        *,
        seal: Seal | None = None,
        prove: Prove | None = None,
        record: Record | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._rules = rules
        self._record = record
        self._wall = wall
        self._state: State | None = None
        self._listeners: list[Told] = []
        self._prove = prove
        self.seal = seal

    def on_commit(self, listener: Told) -> None:
        """Tell this one of each change of ours."""
        self._listeners.append(listener)

    # ---- reading

    async def list(self, kind: Kind, query: Query = FIRST_PAGE) -> Page:
        """A page of resources. Raises ValueError for a cursor that is none of ours."""
        async with self._database.connect() as connection:
            return await page(connection, kind, query)

    async def get(self, kind: Kind, wanted: str) -> Resource:
        """By id; providers, templates, rules, teams and limits by name too. Raises NotFound."""
        async with self._database.connect() as connection:
            found = await one(connection, kind, wanted)
        if found is None:
            raise NotFound(kind, wanted)
        return found

    async def revision(self) -> int:
        """How often resources were changed."""
        async with self._database.connect() as connection:
            return await rows.revision(connection)

    async def state(self) -> State:
        """Everything as it is now."""
        async with self._database.connect() as connection:
            if self._database.is_postgres:
                # One moment for all of it: a rule must not be read without the provider that was made before it.
                await connection.execution_options(isolation_level="REPEATABLE READ")
            return await self._current(connection, await rows.revision(connection))

    # ---- changing

    async def change(self, author: Author, operations: Sequence[Operation]) -> Committed:
        """Do these together, or nothing: the change, its audit and its revision are one transaction.

        Raises NotFound, Conflict, Redirected, NewReference, VersionMismatch, CannotSeal, KeyReplaced, and Rejected
        when the configuration would not hold. What changes nothing makes no revision.
        """
        return await self._transact(author, lambda _connection, _state: _given(operations), None)

    async def roll_back(self, author: Author, to: int) -> Committed:
        """Everything as it was at an earlier revision, as a new one. Raises as `change` does, and LookupError for a
        revision that never was."""

        async def find(connection: AsyncConnection, state: State) -> Sequence[Operation]:
            if not 0 <= to <= state.revision:
                raise LookupError(to)
            return history.way_back(await history.between(connection, to, state.revision))

        return await self._transact(author, find, to)

    async def observe(self, kind: Kind, wanted: str, facts: Mapping[str, Any]) -> None:
        """Keep what was found out about a resource; no change of the configuration. Raises NotFound."""
        table = rows.table_of(kind)
        async with self._database.begin() as connection:
            written = update(table).where(table.c.id == wanted).values(observed=dict(facts))
            if (await connection.execute(written)).rowcount == 0:
                raise NotFound(kind, wanted)

    # ---- revisions

    async def revisions(self, before: int | None = None, most: int = 50) -> Sequence[history.Revision]:
        """The newest first, without their changes."""
        async with self._database.connect() as connection:
            return await history.revisions(connection, before, most)

    async def one_revision(self, revision: int) -> history.Revision:
        """With its changes. Raises LookupError."""
        async with self._database.connect() as connection:
            found = await history.one(connection, revision)
        if found is None:
            raise LookupError(revision)
        return found

    async def differences(self, older: int, newer: int) -> Sequence[history.Difference]:
        """What differs between two revisions."""
        async with self._database.connect() as connection:
            return await history.between(connection, older, newer)

    # ---- one change

    async def _transact(
        self,
        author: Author,
        find: Callable[[AsyncConnection, State], Awaitable[Sequence[Operation]]],
        back_to: int | None,
    ) -> Committed:
        async with self._database.begin() as connection:
            revision = await rows.next_revision(connection)
            before = await self._current(connection, revision - 1)
            operations = await find(connection, before)
            now = self._wall()
            problems = _secret_problems(operations, before, self._rules.bounds)
            if problems:
                raise Rejected(problems, problems[0].id if len(operations) == 1 else None)
            after, changes = apply(before, operations, Stamp(now, author.name), self.seal)
            if not changes:
                await connection.rollback()
                return Committed(before.revision, ())
            refuse_redirection(changes, before, author.role, self._rules.bounds.dialects)
            if back_to is None:  # what was together once may be so again
                refuse_references(changes, before, after, author.role, self._rules.bounds.dialects)
            await _refuse_used_teams(connection, changes)
            await self._hold(before, after, changes)
            if self._prove is not None and any(map(_sealed_anew, changes)):
                await self._prove(connection)
            await rows.write(connection, changes)
            await history.keep(connection, revision, now, author, changes, back_to)
            for change in changes if self._record is not None else ():
                assert self._record is not None
                await self._record(connection, revision, author, change)
        self._state = after
        for listener in self._listeners:
            listener(after)
        return Committed(revision, tuple(changes))

    async def _current(self, connection: AsyncConnection, revision: int) -> State:
        known = self._state
        if known is None or known.revision != revision:
            known = self._state = await rows.whole(connection, revision)
        return known

    async def _hold(self, before: State, after: State, changes: Sequence[Change]) -> None:
        """Raises Rejected for what this change would break. What did not fit before is no fault of this change."""
        rules = self._rules
        problems = [one for change in changes for one in vetting.problems_of(change, after, rules.bounds)]
        if not problems:
            unfit = await asyncio.to_thread(rules.judge, fragment_of(after))
            touched = {change.resource.id for change in changes}
            if unfit:
                parked = {one.id for one in await asyncio.to_thread(rules.judge, fragment_of(before))} - touched
                problems = [one for one in unfit if one.id not in parked]
        if problems:
            meant = {change.resource.id for change in changes if not _only_moved(change)}
            raise Rejected(problems, meant.pop() if len(meant) == 1 else None)


def _only_moved(change: Change) -> bool:
    """A rule that stands elsewhere because another one was put before it."""
    return change.before is not None and change.after is not None and change.before.version == change.after.version


def _sealed_anew(change: Change) -> bool:
    before, after = change.before, change.after
    return after is not None and after.secret is not None and (before is None or before.secret != after.secret)


async def _given(operations: Sequence[Operation]) -> Sequence[Operation]:
    return operations


def _secret_problems(operations: Sequence[Operation], state: State, bounds: vetting.Bounds) -> list[Problem]:
    """What is wrong with the secrets that are about to be sealed."""
    problems = []
    made = {one.id: one.settings for one in operations if isinstance(one, Create) and one.id is not None}
    for operation in operations:
        if not isinstance(operation, Create | Rotate) or not operation.secret:
            continue
        if isinstance(operation, Rotate):
            credential = state.of(Kind.CREDENTIAL).get(operation.id)
            owner, name = (credential.provider_id, credential.name) if credential is not None else (None, "")
        else:
            owner, name = operation.provider, operation.name
        provider = state.of(Kind.PROVIDER).get(owner or "")
        settings = provider.settings if provider is not None else made.get(owner or "", {})
        problems += [
            Problem(Kind.CREDENTIAL, operation.id or "", name, place, message)
            for place, message in vetting.secret_problems(settings, operation.secret, bounds.dialects)
        ]
    return problems


async def _refuse_used_teams(connection: AsyncConnection, changes: Sequence[Change]) -> None:
    """Run-time keys name their team: they would be without its limits."""
    for change in changes:
        gone = change.before if change.kind is Kind.TEAM else None
        if gone is None or (change.after is not None and change.after.name == gone.name):
            continue
        keys = await keys_of_team(connection, gone.name)
        if keys:
            by = [Reference("keys", name, name, "team") for name in keys]
            listed = ", ".join(keys[:10])
            raise Conflict(f"The team {gone.name!r} has keys ({listed}): revoke them, or give them another team.", by)
