"""Names to addresses by the system's resolver, which blocks: one question for each name, shared by all who ask it.

A name server that hangs holds a thread for half a minute. The loops' own lookups share a few threads, so that one
provider's name could keep every other one from being found; here each name that is asked for has a thread of its own.
An answer is for those who asked before it came and is not kept: the resolver does not say for how long it holds.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

Ask = Callable[[str], Sequence[str]]
"""The addresses of a host, best first. Blocks. Raises socket.gaierror, and UnicodeError for what cannot be a name."""

MOST_THREADS = 64
MOST_FOR_CLIENTS = 8


def ask_system(host: str) -> Sequence[str]:
    """As the system does it: `/etc/hosts`, DNS, and the odd spellings of addresses."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


class _Question(Future[Sequence[str]]):
    """Under way from the start, so that nobody who stops waiting takes the answer from the others."""

    def __init__(self) -> None:
        super().__init__()
        self.askers = 0
        self.set_running_or_notify_cancel()


class Lookups:
    """A `Resolver`, for every loop of the process. Names beyond `threads` at once wait for a thread in their order.

    Its threads keep no process from ending.
    """

    def __init__(self, ask: Ask = ask_system, threads: int = MOST_THREADS) -> None:
        self._ask = ask
        self._most = threads
        self._lock = threading.Lock()
        self._threads = 0
        self._questions: dict[str, _Question] = {}
        self._waiting: dict[str, _Question] = {}
        """Those without a thread yet."""

    def __repr__(self) -> str:
        return f"<Lookups threads={self._threads} questions={len(self._questions)} waiting={len(self._waiting)}>"

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """See `Resolver`."""
        del port
        question = self._join(host)
        try:
            return await asyncio.wrap_future(question)
        finally:
            self._leave(host, question)

    def _join(self, host: str) -> _Question:
        with self._lock:
            question = self._questions.get(host)
            if question is not None:
                question.askers += 1
                return question
            question = self._questions[host] = _Question()
            question.askers = 1
            if self._threads >= self._most:
                self._waiting[host] = question
                return question
            self._threads += 1
        try:
            threading.Thread(target=self._work, args=(host, question), name="lookup", daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            with self._lock:
                self._threads -= 1
                del self._questions[host]
            question.set_exception(socket.gaierror(socket.EAI_AGAIN, "no thread to ask in"))
        return question

    def _leave(self, host: str, question: _Question) -> None:
        """What nobody waits for any more is not even asked."""
        with self._lock:
            question.askers -= 1
            if not question.askers and self._waiting.get(host) is question:
                del self._waiting[host], self._questions[host]

    def _work(self, host: str, question: _Question) -> None:
        """A thread: this question, then those that wait for a thread."""
        following: tuple[str, _Question] | None = (host, question)
        while following is not None:
            host, question = following
            found: Sequence[str] = ()
            failure: Exception | None = None
            try:
                found = self._ask(host)
            except Exception as error:  # whoever asked gets it
                failure = error
            following = self._done(host)
            if failure is None:
                question.set_result(found)
            else:
                question.set_exception(failure)

    def _done(self, host: str) -> tuple[str, _Question] | None:
        """It is answered: who asks from here on asks anew. The next one for this thread; None ends it."""
        with self._lock:
            del self._questions[host]
            following = next(iter(self._waiting), None)
            if following is None:
                self._threads -= 1
                return None
            return following, self._waiting.pop(following)


resolve = Lookups()
"""The process's own, for names that operators chose."""
resolve_for_clients = Lookups(threads=MOST_FOR_CLIENTS)
"""For names that clients chose: however many of them hang, providers' are found."""
