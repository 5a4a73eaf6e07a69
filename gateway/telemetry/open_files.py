"""How many descriptors this process has open, and how many it may have."""

from __future__ import annotations

import errno
import os
import resource
import time

from gateway.telemetry import families
from gateway.telemetry.tallies import Tallies

_PLACE = "/proc/self/fd"
_EVERY = 5.0
"""Seconds between two looks: a worker with ten thousand connections has as many entries there."""


def raise_limit(most: int = 1 << 20) -> None:
    """Let this process and its children open as many files as the system allows, up to `most`. What starts us often
    allows 1024 at first, and half as many calls in flight would use them up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class OpenFiles:
    """Looks now and then, whenever it is told that somebody wants to know; in any thread."""

    def __init__(self, tallies: Tallies) -> None:
        self._open = tallies.gauge(families.OPEN_FILES)
        self._most = tallies.gauge(families.MAX_OPEN_FILES)
        self._next_look = 0.0

    def look(self) -> None:
        """Set both, if it is time. Without a `/proc` nothing is known."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _EVERY
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        try:
            count = len(os.listdir(_PLACE)) - 1  # noqa: PTH208 - a number is wanted, no paths; without the one that reads
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                return
            count = most
        self._open.set((), count)
        self._most.set((), most)
