"""Endpoints of nouns that have a name, settings, a description, and nothing of their own: teams and limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gateway.http.admin.etags import etag, wanted
from gateway.http.admin.limit_shapes import LimitDraft, LimitPatch, TeamDraft, TeamPatch, split, whole
from gateway.http.admin.resource_shapes import ResourceShown
from gateway.http.admin.shapes import Page
from gateway.registry.resources.operations import Create, Update

if TYPE_CHECKING:
    from fastapi import Response

    from gateway.http.admin.resource_service import Listing, ResourceService
    from gateway.registry.resources.records import Kind, Resource

Shown = TypeVar("Shown", bound=ResourceShown)


class Plain(Generic[Shown]):
    """What is done to resources of one kind, presented as `shown` says."""

    def __init__(self, kind: Kind, place: str, shown: Callable[[Resource, str | None], Shown]) -> None:
        self.kind = kind
        self._place = place
        self._shown = shown

    async def page(self, service: ResourceService, listing: Listing) -> Page[Any]:
        """Part of the list."""
        found = await service.page(self.kind, listing)
        return Page(items=self._presented(service, found.items), next_cursor=found.next_cursor, total=found.total)

    async def create(self, service: ResourceService, draft: TeamDraft | LimitDraft, response: Response) -> Shown:
        """A new one, or the one that is there and the same."""
        settings, details = whole(draft)
        made, fresh = await service.create(Create(self.kind, draft.name, settings, details))
        if not fresh:
            response.status_code = 200
        response.headers["location"] = f"/api/admin/{self._place}/{made.id}"
        return self._answered(service, made, response)

    async def get(self, service: ResourceService, name: str, response: Response) -> Shown:
        """One of them."""
        return self._answered(service, await service.find(self.kind, name), response)

    async def change(
        self,
        service: ResourceService,
        name: str,
        patch: TeamPatch | LimitPatch,
        if_match: str | None,
        response: Response,
    ) -> Shown:
        """What is not named stays, null removes."""
        found = await service.find(self.kind, name)
        service.refuse_filed(found)
        settings, details = split(patch)
        made = await service.update(Update(self.kind, found.id, settings, details, version=wanted(if_match)))
        return self._answered(service, made, response)

    async def replace(
        self,
        service: ResourceService,
        name: str,
        draft: TeamDraft | LimitDraft,
        if_match: str | None,
        response: Response,
    ) -> Shown:
        """All settings anew."""
        found = await service.find(self.kind, name)
        service.refuse_filed(found)
        settings, details = whole(draft)
        version = wanted(if_match)
        made = await service.update(
            Update(self.kind, found.id, settings, details, merge=False, name=draft.name, version=version)
        )
        return self._answered(service, made, response)

    async def remove(self, service: ResourceService, name: str, if_match: str | None, *, cascade: bool) -> None:
        """End it."""
        await service.remove(await service.find(self.kind, name), wanted(if_match), cascade=cascade)

    def _presented(self, service: ResourceService, items: list[Resource]) -> list[Shown]:
        problems = service.problems()
        return [self._shown(one, problems.get(one.id)) for one in items]

    def _answered(self, service: ResourceService, resource: Resource, response: Response) -> Shown:
        response.headers["etag"] = etag(resource.version)
        return self._presented(service, [resource])[0]
