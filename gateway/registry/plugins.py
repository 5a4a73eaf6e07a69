"""The plugins of a configuration: loaded once, before anything is checked, since they bring provider types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import OperatorError
from gateway.providers.discovery import Dialects, PluginFailed, discover, load_plugin
from gateway.registry.loader import parse
from gateway.registry.problems import ConfigError, Fault, Problem, shown
from gateway.registry.source import read_bytes

if TYPE_CHECKING:
    from gateway.registry.catalogue import Known


def dialects_for(path: Path | None) -> Dialects:
    """What is installed, and the plugins that this file names: runs their code.

    Raises ConfigError, with places, for plugins that cannot be used. What else is wrong with the file is left to
    whoever loads it.
    """
    dialects = discover()
    if path is None:
        return dialects
    try:
        content = read_bytes(path)
        if b"plugins" not in content:
            return dialects
        source = parse(path, content)
    except ConfigError:
        return dialects
    named = source.data.get("plugins") if isinstance(source.data, dict) else None
    problems = []
    for index, spec in enumerate(named if isinstance(named, list) else ()):
        if isinstance(spec, str) and spec:
            try:
                dialects.take(load_plugin(spec, path.parent), f"plugin {spec}")
            except (PluginFailed, OperatorError) as error:
                problems.append(Problem(source.place(("plugins", index)), f"plugin {shown(spec)}: {error}"))
            dialects.plugins |= {spec}
    if problems:
        raise ConfigError(problems)
    return dialects


def plugin_faults(data: Any, dialects: Known | None) -> Iterator[Fault]:
    """Plugins that a running gateway has not loaded: their code is taken in when it starts and at no other time."""
    named = data.get("plugins") if isinstance(data, dict) else None
    if isinstance(dialects, Dialects) and isinstance(named, list):
        for index, spec in enumerate(named):
            if isinstance(spec, str) and spec not in dialects.plugins:
                yield Fault(("plugins", index), "this plugin is not loaded (restart the gateway: it loads them then)")
