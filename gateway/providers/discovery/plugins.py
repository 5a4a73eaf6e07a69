"""Dialects that a configuration names: a Python file beside it, or a module that can be imported."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from gateway.providers.discovery.validation import faults_of

if TYPE_CHECKING:
    from gateway.ports import Dialect

ATTRIBUTE = "DIALECT"


class PluginFailed(Exception):
    """A plugin cannot be used; the text is for operators, with what to do."""


def load_plugin(named: str, directory: Path) -> Dialect:
    """The dialect of a plugin: `path/to/file.py`, from `directory` on, or `package.module`, either with `:ATTRIBUTE`
    where it is not called DIALECT. Runs the plugin's code. Raises PluginFailed."""
    where, _, attribute = named.partition(":")
    is_file = where.endswith(".py") or "/" in where
    try:
        module = _from_file(directory / where) if is_file else importlib.import_module(where)
    except FileNotFoundError:
        raise PluginFailed("the file does not exist (check the path; it is relative to this file)") from None
    except BaseException as error:  # foreign code runs at its import and may raise anything; the operator reads what
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginFailed(
            f"it cannot be loaded: {type(error).__name__}: {error} (mend the plugin, or install what it needs)"
        ) from error
    dialect = getattr(module, attribute or ATTRIBUTE, None)
    if dialect is None:
        raise PluginFailed(f"it has no `{attribute or ATTRIBUTE}` (name it `{where}:NAME` if it is called otherwise)")
    if wrong := faults_of(dialect):
        raise PluginFailed(f"it is no provider: {'; '.join(wrong)} (see `gateway providers test {named}`)")
    found: Dialect = dialect
    return found


def _from_file(path: Path) -> ModuleType:
    """The module that a file is, run once however often it is asked for."""
    path = path.resolve()
    if not path.is_file():
        raise FileNotFoundError(path)
    name = f"gateway_plugin_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:  # a plugin that fails must not stay half imported
        del sys.modules[name]
        raise
    return module
