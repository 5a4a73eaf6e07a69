"""A worker's server: uvicorn's, whose end is ours to decide.

uvicorn closes its door at the first signal and then waits for connections, which a stream or an idle client holds open
as long as it likes; tasks that outlast its patience are cancelled and not waited for. Here the door stays open until
the work is done: who knocks meanwhile is served, later told to go elsewhere, and every stream has its last word.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import uvicorn

from gateway.http.drain import Drain, Phase

if TYPE_CHECKING:
    from types import FrameType

HURRY = signal.SIGUSR1
"""From the parent: end what runs at once, with a last word to each client."""
LAST_WORDS_SECONDS = 5
"""How long clients may take to read what they are told at the end."""
_CLOSE = (b"connection", b"close")


class Drainable(Protocol):
    """The application, as far as its end goes."""

    @property
    def in_flight(self) -> int:
        """Calls that run."""
        ...

    def leave(self) -> None:
        """Be ready no more, and serve on."""
        ...

    def refuse(self) -> None:
        """Take in no more calls."""
        ...

    def end(self) -> None:
        """Tell every call that still runs that it is over."""
        ...


class Server(uvicorn.Server):
    """Serves until `Drain` says that it is over. SIGTERM begins the end, SIGINT does without the grace: it comes from a
    person at a terminal. HURRY ends at once. A signal that comes twice changes nothing."""

    def __init__(
        self, config: uvicorn.Config, app: Drainable, drain: Drain, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(config)
        self._app = app
        self._drain = drain
        self._clock = clock
        self._phase = Phase.SERVING

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """A signal came. Takes effect at the next tick, a tenth of a second later at most."""
        if sig == HURRY:
            self._drain.hurry()
        else:
            self._drain.begin(self._clock(), grace=sig != signal.SIGINT)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop now; the steps that are due are taken before."""
        stop = await super().on_tick(counter)
        due = self._drain.phase(self._clock(), self._app.in_flight)
        while self._phase < due:
            self._phase = Phase(self._phase + 1)
            self._enter(self._phase)
        return stop or self._phase is Phase.ENDING

    def _enter(self, phase: Phase) -> None:
        if phase is Phase.LEAVING:
            self._app.leave()
            self._close_after_answers()
        elif phase is Phase.REFUSING:
            self._app.refuse()
        else:
            self._app.end()

    def _close_after_answers(self) -> None:
        """Every answer from now on is its connection's last, so that clients and load balancers dial anew."""
        # uvicorn puts these headers into the ones that it makes every second.
        self.config.encoded_headers.append(_CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False
