"""An LLM gateway that speaks OpenAI's API: routing, limits, failover and exact accounting in front of every
provider."""

import sys

__version__ = "0.1.0"


def _spare_the_renderer() -> None:
    """structlog takes rich along where it is installed, 3 MB in every process, to colour tracebacks on a terminal: ours
    are plain. Whoever else wants rich gets it as ever."""
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # how the import system is told that there is none
    try:
        import structlog  # noqa: F401, PLC0415
    finally:
        del sys.modules["rich"]


_spare_the_renderer()
