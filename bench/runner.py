"""What every benchmark's command does around its measuring: the machine is made ready, nothing is left behind."""

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench import install
from bench.processes import BenchError, adopt_orphans, end_descendants

RESULTS = Path(__file__).resolve().parent / "results"


def run(measure: Callable[[], None]) -> int:
    """The exit code: 0 when something was measured (goals are reported, not enforced), 1 when the rig could not, 130
    when it was interrupted."""
    adopt_orphans()
    signal.signal(signal.SIGTERM, _stop)
    try:
        measure()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        end_descendants()
    return 0


def prepare() -> None:
    """Tools, two cores and enough files. Raises BenchError."""
    install.require_tools()
    if not {0, 1} <= os.sched_getaffinity(0):
        raise BenchError("cores 0 and 1 are needed: one for the system under test, one for the load and the upstream")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(16_384, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(143)
