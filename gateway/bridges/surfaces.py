"""Which surface a call speaks, and by which ones a deployment can be called."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.ports import Dialect, SurfaceDialect
from gateway.types import Deployment, Service, Surface

SURFACES: Mapping[str, Surface] = MappingProxyType(
    {
        "/chat/completions": Surface.CHAT,
        "/responses": Surface.RESPONSES,
        "/messages": Surface.MESSAGES,
    }
)
"""By the path of a call. Other paths have no other words, and no bridges."""
SERVICES: Mapping[Surface, Service] = MappingProxyType(
    {
        Surface.CHAT: Service.CHAT,
        Surface.RESPONSES: Service.RESPONSES,
        Surface.MESSAGES: Service.CHAT,
    }
)
"""As what a surface's calls are counted, routed and allowed."""


def surface_of(service: Service, path: str) -> Surface | None:
    """What a call of this service to this path speaks; None for services that have no other words."""
    surface = SURFACES.get(path)
    return surface if surface is not None and SERVICES[surface] is service else None


_TOLD = (Surface.CHAT, Surface.RESPONSES)
"""Those that a dialect's services tell."""


def surfaces_of(dialect: Dialect, deployment: Deployment) -> frozenset[Surface]:
    """Those that the deployment is called by natively: what its dialect has, and of it what the operator names."""
    if isinstance(dialect, SurfaceDialect):
        own = dialect.surfaces(deployment)
    else:
        own = frozenset(surface for surface in _TOLD if SERVICES[surface] in dialect.services)
    named = deployment.api or deployment.provider.api
    return own & named if named else own
