"""What is done to keys on behalf of a caller: in the database, on the record, and to the workers' knowledge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.auth.issue import Issued, Issuer, KeyInfo
from gateway.auth.refusals import KeyNameTaken
from gateway.auth.witnessing import witness_of
from gateway.http.admin.file_keys import shown_of_file
from gateway.http.admin.key_shapes import KeyShown, shown
from gateway.http.admin.problems import Clash
from gateway.registry.resources.records import Kind
from gateway.registry.resources.teams import team_exists
from gateway.storage.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.auth.admins import Actor, Record
    from gateway.auth.drafts import Draft
    from gateway.auth.records import Change
    from gateway.http.admin.services import Services


class KeyService:
    """Keys, for one caller."""

    def __init__(self, services: Services, caller: Actor, record: Record) -> None:
        self._rooms = services
        self._record = record
        self._caller = caller
        self._issuer = Issuer(services.database, team_known=self._team_known)

    async def create(self, draft: Draft) -> tuple[Issued, bool]:
        """A new key, and whether the workers were told. Raises DraftRejected, KeyNameTaken."""
        issued = await self._issuer.create(draft, self._caller.name, witness_of(self._record, "create"))
        return issued, await self._tell(issued.change)

    async def same(self, draft: Draft, taken: KeyNameTaken) -> KeyInfo:
        """The key that is there already, if the draft would make the same. Raises `taken` if not."""
        if taken.revoked:
            raise taken
        info = await self._issuer.get(draft.name)
        there = (info.team, info.models, info.services, info.limits, info.quotas, info.metadata, info.expires_at)
        asked = (draft.team, draft.models, draft.services, draft.limits, draft.quotas, draft.metadata, draft.expires_at)
        if there != asked:
            raise taken
        return info

    async def get(self, name: str) -> KeyShown:
        """One key, of the file or of the database. Raises NoSuchKey."""
        declared = self._rooms.snapshot().virtual_keys.get(name)
        return shown(await self._issuer.get(name)) if declared is None else shown_of_file(declared)

    async def update(self, name: str, changes: Mapping[str, Any], expected: int | None) -> Issued:
        """Raises DraftRejected, NoSuchKey, KeyNotActive, KeyChanged, Clash for a key of the file."""
        self.refuse_file_key(name)
        issued = await self._issuer.update(name, changes, expected, witness_of(self._record, "update"))
        await self._tell(issued.change)
        return issued

    async def rotate(self, name: str, grace: float) -> tuple[Issued, bool]:
        """Raises NoSuchKey, KeyNotActive, Clash for a key of the file."""
        self.refuse_file_key(name)
        issued = await self._issuer.rotate(name, grace, witness_of(self._record, "rotate"))
        return issued, await self._tell(issued.change)

    async def revoke(self, name: str, expected: int | None) -> Issued:
        """Raises NoSuchKey, KeyChanged, Clash for a key of the file."""
        self.refuse_file_key(name)
        issued = await self._issuer.revoke(name, expected, witness_of(self._record, "revoke"))
        await self._tell(issued.change)
        return issued

    def refuse_file_name(self, name: str) -> None:
        """Raises Clash for a name that a key of the file has: that one would win."""
        if name in self._rooms.snapshot().virtual_keys:
            raise Clash(
                "A key of the configuration file has this name, and the file wins.",
                field="name",
                suggestions=["Use another name."],
            )

    def refuse_file_key(self, name: str) -> None:
        """Raises Clash for a key of the file."""
        if name in self._rooms.snapshot().virtual_keys:
            raise Clash(
                "This key is declared in the configuration file.", field="name", suggestions=["Change it there."]
            )

    async def _team_known(self, connection: AsyncConnection, team: str) -> bool:
        # A team of the file may go at any time, whoever has keys in it: the file is its operator's.
        return any(one.name == team for one in self._rooms.filed(Kind.TEAM)) or await team_exists(connection, team)

    async def _tell(self, change: Change) -> bool:
        try:
            return await self._rooms.tell_keys(change)
        except StoreUnavailable:
            return False  # the bookkeeper brings it in when the store is back
