"""`/v1/models`: the names a key may use, in OpenAI's shape."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.auth.keys import may_use
from gateway.errors import ModelNotFound
from gateway.http.routes import Destination
from gateway.registry.snapshot import Snapshot
from gateway.types import Principal

_WILD = frozenset("*?[")
CREATED = 1_700_000_000
"""A fixed moment: providers' own dates are not known here, and clients want a number."""


def visible(snapshot: Snapshot, principal: Principal, pinned: str | None) -> dict[str, str]:
    """Model names with their owners: aliases, plain names of routes, then bare names, each as a client would write
    it."""
    names: dict[str, str] = {}
    if pinned is None:
        plain = (model for route in snapshot.routes for model in route.match.models if not _WILD.intersection(model))
        names = dict.fromkeys([*snapshot.aliases, *plain], "gateway")
    for name, deployments in snapshot.models.items():
        owners = [d.provider.name for d in deployments if pinned in (None, d.provider.name)]
        if owners:
            names.setdefault(name, owners[0])
    return {name: owner for name, owner in names.items() if may_use(principal, name)}


def models_body(snapshot: Snapshot, principal: Principal, destination: Destination) -> bytes:
    """The list, or the one model that the path names. Raises ModelNotFound."""
    if destination.pinned is not None and destination.pinned not in snapshot.providers:
        raise ModelNotFound(f"No provider is called `{destination.pinned}`.")
    names = visible(snapshot, principal, destination.pinned)
    if destination.model is None:
        return orjson.dumps({"object": "list", "data": [_model(name, owner) for name, owner in names.items()]})
    owner = names.get(destination.model)
    if owner is None:
        owner = _qualified(snapshot, principal, destination.model)
    return orjson.dumps(_model(destination.model, owner))


def _qualified(snapshot: Snapshot, principal: Principal, name: str) -> str:
    provider, _, model = name.partition("/")
    if not may_use(principal, name) or snapshot.deployment_for(provider, model) is None:
        raise ModelNotFound(param="model")
    return provider


def _model(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": owner}
