"""Lines written by a thread, so that a slow or blocked sink never holds the event loop."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable

_PAUSE = 0.05
"""Seconds in which lines gather for one write."""
_BATCH = 512


class LineWriter:
    """A bounded queue before a descriptor. When it is full, lines are dropped and counted. Make it after the fork."""

    def __init__(
        self,
        fd: int,
        *,
        limit: int = 20_000,
        transform: Callable[[bytes], bytes] | None = None,
        on_dropped: Callable[[int], bytes] | None = None,
    ) -> None:
        self._fd = fd
        self._limit = limit
        self._transform = transform
        self._on_dropped = on_dropped
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._reported = 0
        self.dropped = 0
        """Lines lost so far, because the sink was slow or is gone."""
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue one line, its newline included. Never blocks, never raises."""
        if len(self._lines) >= self._limit:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout: float = 2.0) -> bool:
        """Write what is queued, for at most `timeout` seconds; whether all of it was."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self._lines

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if not self._closing:
                threading.Event().wait(_PAUSE)
            closing = self._closing
            self._wake.clear()
            while self._lines:
                self._write_batch()
            self._report_dropped()
            if closing:
                return

    def _write_batch(self) -> None:
        lines = self._lines
        batch = [lines.popleft() for _ in range(min(_BATCH, len(lines)))]
        data = b"".join(batch)
        try:
            self._write_all(self._transform(data) if self._transform else data)
        except OSError:  # the sink is gone, and with it the place to say so
            self.dropped += len(batch)

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:  # somebody made the shared descriptor non-blocking
                select.select((), (self._fd,), (), 1.0)

    def _report_dropped(self) -> None:
        if self._on_dropped is None or self.dropped == self._reported:
            return
        count, self._reported = self.dropped - self._reported, self.dropped
        try:
            self._write_all(self._on_dropped(count))
        except OSError:
            return
