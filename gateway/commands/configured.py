"""The configuration as the gateway that runs here has it: the file, and what was made over its API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.registry.snapshot import Snapshot
    from gateway.settings import Settings


def configured(settings: Settings, config: Path | None) -> Snapshot:
    """The file, and what the control plane has laid out in the data directory; no secret is opened. Raises
    OperatorError for a bad configuration."""
    from gateway.registry.compiling import Context  # noqa: PLC0415 - only commands that ask pay for it
    from gateway.registry.loader import load  # noqa: PLC0415
    from gateway.registry.plugins import dialects_for  # noqa: PLC0415
    from gateway.registry.resources.intake import Intake  # noqa: PLC0415
    from gateway.registry.resources.shelf import Shelf  # noqa: PLC0415

    path = settings.config_path(config)
    dialects = dialects_for(path)
    loaded = load(path, os.environ, dialects=dialects)
    context = Context(dialects, networks=settings.private_networks)
    return Intake(Shelf(settings.data_dir), settings, os.environ, context).join(loaded, sealed=True).snapshot
