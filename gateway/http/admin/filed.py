"""Resources of the configuration file, in the form of those of the database: to be seen here and changed there."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.audit.masking import masked
from gateway.registry.resources.records import Kind, Resource

FILE = "file"
"""Who made them."""
_SECTIONS = {Kind.RULE: "routes", Kind.TEAM: "teams", Kind.LIMIT: "limits"}


class Filed:
    """The file's resources as it is now; looked through once for each state of the file."""

    def __init__(self, document: Callable[[], Mapping[str, Any]]) -> None:
        self._document = document
        self._seen: Mapping[str, Any] | None = None
        self._found: dict[Kind, list[Resource]] = {}

    def __call__(self, kind: Kind) -> list[Resource]:
        """Those of one kind."""
        document = self._document()
        if document is not self._seen:
            self._seen, self._found = document, {}
        if kind not in self._found:
            self._found[kind] = filed(document, kind)
        return self._found[kind]


def filed(document: Mapping[str, Any], kind: Kind) -> list[Resource]:
    """Those of one kind, as they are written: no variable is filled in, no secret is shown."""
    if kind is Kind.PROVIDER:
        return [_resource(kind, name, name, _settings(one, "models")) for name, one in _providers(document)]
    if kind is Kind.MODEL:
        return [
            _resource(kind, model_id(owner, name), name, _settings(one), provider=owner)
            for owner, provider in _providers(document)
            for name, one in _models(provider.get("models"))
        ]
    section = document.get(_SECTIONS.get(kind, ""))
    items = [one for one in section if isinstance(one, dict)] if isinstance(section, list) else []
    return [
        _resource(kind, str(one.get("name")), str(one.get("name")), _settings(one, "name"), position=place)
        for place, one in enumerate(items)
    ]


def model_id(provider: str, model: str) -> str:
    """The id of a file's model: fit for a path, whatever the model is called."""
    return "file-" + base64.urlsafe_b64encode(f"{provider}/{model}".encode()).decode().rstrip("=")


def _providers(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    found = document.get("providers")
    for name, settings in found.items() if isinstance(found, dict) else ():
        if isinstance(settings, dict):
            yield str(name), settings


def _models(listed: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(listed, list):
        listed = dict.fromkeys(map(str, listed))
    for name, settings in listed.items() if isinstance(listed, dict) else ():
        yield str(name), settings if isinstance(settings, dict) else {}


def _settings(written: Mapping[str, Any], *without: str) -> dict[str, Any]:
    shown: dict[str, Any] = masked({name: value for name, value in written.items() if name not in without})
    return shown


def _resource(
    kind: Kind,
    id_: str,
    name: str,
    settings: dict[str, Any],
    *,
    provider: str | None = None,
    position: int | None = None,
) -> Resource:
    return Resource(
        kind=kind,
        id=id_,
        name=name,
        settings=settings,
        details={},
        version=0,
        created_at=0.0,
        created_by=FILE,
        updated_at=0.0,
        updated_by=FILE,
        provider_id=provider,
        position=position if kind is Kind.RULE else None,
    )


def is_filed(resource: Resource) -> bool:
    """Whether the configuration file declares it."""
    return resource.version == 0
