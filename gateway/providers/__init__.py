"""One file per dialect, found by its `DIALECT`; no I/O.

A module of this package adds a provider type by exposing one object `DIALECT` that satisfies `gateway.ports.Dialect`;
so does one that another distribution names under the entry-point group `gateway.providers`, or that a configuration
names under `plugins`. `discovery` finds them all.
"""

from gateway.providers.discovery import ENTRY_POINTS, Dialects, discover

__all__ = ["ENTRY_POINTS", "Dialects", "discover"]
