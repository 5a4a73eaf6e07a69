"""Which dialects there are: those of this package, of installed packages, and those that a configuration names."""

from gateway.providers.discovery.dialects import ENTRY_POINTS, Dialects, discover
from gateway.providers.discovery.plugins import PluginFailed, load_plugin

__all__ = ["ENTRY_POINTS", "Dialects", "PluginFailed", "discover", "load_plugin"]
