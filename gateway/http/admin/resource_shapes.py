"""What every resource shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from gateway.http.admin.filed import is_filed
from gateway.http.admin.moments import iso
from gateway.http.admin.shapes import Shown, Stamp

if TYPE_CHECKING:
    from gateway.registry.resources.records import Resource


class ResourceShown(Shown):
    """Who made it and when, and which version it is at."""

    id: str
    is_system: bool = Field(description="Declared in the configuration file, and changed there.")
    version: int = Field(description="The number in its `ETag`; 0: of the file.")
    created_at: Stamp | None
    created_by: str
    updated_at: Stamp | None
    updated_by: str


def common(resource: Resource) -> dict[str, Any]:
    """The values of a ResourceShown."""
    system = is_filed(resource)
    return {
        "id": resource.id,
        "is_system": system,
        "version": resource.version,
        "created_at": None if system else iso(resource.created_at),
        "created_by": resource.created_by,
        "updated_at": None if system else iso(resource.updated_at),
        "updated_by": resource.updated_by,
    }


def tidy(value: Any) -> Any:
    """Without what is null, however deep: how settings are stored."""
    if isinstance(value, dict):
        return {name: tidy(inner) for name, inner in value.items() if inner is not None}
    return [tidy(inner) for inner in value] if isinstance(value, list) else value


def patch_of(value: Any) -> Any:
    """As JSON Merge Patch has it (RFC 7396): nulls of mappings remove what is there; lists are taken whole."""
    if isinstance(value, dict):
        return {name: patch_of(inner) for name, inner in value.items()}
    return tidy(value)
