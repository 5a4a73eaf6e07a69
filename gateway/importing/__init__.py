"""Other gateways' configurations, said in ours: `gateway import`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.importing.draft import Draft
from gateway.importing.emit import emit
from gateway.importing.litellm import SECTIONS, from_litellm
from gateway.importing.providers_toml import from_toml, is_providers_toml
from gateway.importing.repair import repair
from gateway.importing.trying import harmless
from gateway.registry.loader import build, context_for, parse
from gateway.registry.problems import ConfigError, Problem
from gateway.registry.source import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.registry.catalogue import Known
    from gateway.registry.source import Source

__all__ = ["import_file"]


def import_file(path: Path, dialects: Known) -> str:
    """This file as a configuration of ours, in YAML: it passes `gateway check`, its variables set or not, and has a
    comment for each thing that could not be carried over. No credential is in it, only the names of variables.

    `dialects` are the provider types that this version speaks. Raises ConfigError, with places.
    """
    source = parse(path, read_bytes(path))
    draft = _draft(source)
    context = context_for(dialects, None)
    repair(draft, context)
    if not draft.providers:
        raise ConfigError([Problem(source.place(()), _nothing(draft))])
    text = emit(draft)
    # The text is what counts, not what it was made from. Raises ConfigError.
    written = parse(path.with_suffix(".yaml"), text.encode())
    for env in ({}, harmless(written.data, context)):
        build(written, env, context)
    return text


def _draft(source: Source) -> Draft:
    data: Any = source.data
    if not isinstance(data, dict):
        raise ConfigError([Problem(source.place(()), "expected a mapping at the top (is this the right file?)")])
    if is_providers_toml(data):
        return from_toml(source)
    if SECTIONS & data.keys():
        return from_litellm(source)
    if "providers" in data:
        message = "this is a configuration of this gateway already (try it with `gateway check`)"
    else:
        message = (
            "this is neither a `provider.config.toml` with [provider.cloud.…] or [providers.custom.…] tables "
            "nor a LiteLLM `config.yaml` with a `model_list` (check which file it is)"
        )
    raise ConfigError([Problem(source.place(()), message)])


def _nothing(draft: Draft) -> str:
    reasons = "; ".join(draft.notes[:5])
    return f"no provider could be carried over{': ' + reasons if reasons else ''} (add one to the file)"
