"""LiteLLM's `config.yaml`: https://docs.litellm.ai/docs/proxy/config_settings."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from gateway.importing.draft import Draft
from gateway.importing.litellm.deployments import Deployments
from gateway.importing.litellm.reading import Reader
from gateway.importing.litellm.routes import add_routes
from gateway.importing.litellm.settings import add_settings

if TYPE_CHECKING:
    from gateway.registry.source import Source

SECTIONS = frozenset({"model_list", "litellm_settings", "router_settings", "general_settings"})

__all__ = ["SECTIONS", "from_litellm"]


def from_litellm(source: Source) -> Draft:
    """The providers that its deployments need, and a route for each model group."""
    draft = Draft(PurePath(source.file).name)
    reader = Reader(source, draft)
    deployments = Deployments(reader)
    groups = deployments.read()
    add_routes(reader, groups)
    add_settings(reader, deployments)
    reader.tell_unread()
    return draft
