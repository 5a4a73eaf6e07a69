"""The configuration of a gateway that has none: the mock provider and those whose key is in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.registry.catalogue import TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "built-in configuration"


def builtin_document(env: Mapping[str, str]) -> dict[str, Any]:
    """As `config/gateway.yaml` says it, without the providers whose variable is unset or empty."""
    providers: dict[str, Any] = {
        kind.name: {"type": kind.name, "api_key": "${" + kind.env + "}"}
        for kind in TYPES.values()
        if kind.env is not None and env.get(kind.env)
    }
    providers["mock"] = {"type": "mock", "models": list(TYPES["mock"].models)}
    return {"version": 1, "providers": providers}
