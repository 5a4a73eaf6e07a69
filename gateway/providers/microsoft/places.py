"""Where Azure's API is: the v1 API, whose paths are OpenAI's, or a dated one with the deployment in the path."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

from gateway.types import Deployment, Provider

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_OF_DEPLOYMENTS = frozenset(
    {
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/audio/speech",
        "/audio/transcriptions",
        "/audio/translations",
        "/images/generations",
        "/images/edits",
    }
)
"""Paths that the dated API has below a deployment; the others name it in the body."""


class Place(NamedTuple):
    """A base URL, and path and query below it."""

    base_url: str
    path: str


def place_of(provider: Provider, path: str, deployment: str = "") -> Place:
    """Where `path` of OpenAI's API is at this provider, for one of its deployments."""
    version = str(provider.options.get("api_version") or "")
    query = f"?api-version={quote(version)}" if version not in ("", "v1") else ""
    if _DATE.match(version) is None:
        return Place(provider.base_url, path + query)
    base = provider.base_url.removesuffix("/v1")
    # Foundry's `/models` is dated too, and has no deployments in its paths.
    if path in _OF_DEPLOYMENTS and base.endswith("/openai"):
        path = f"/deployments/{quote(deployment, safe='')}{path}"
    return Place(base, path + query)


def deployment_name(deployment: Deployment) -> str:
    """What the model is deployed as."""
    names = deployment.provider.options.get("deployments") or {}
    return str(names.get(deployment.model, deployment.model))
