"""The watch over requests: clients that send too slowly, do not read, or leave. Time is a number here."""

from __future__ import annotations

from typing import Any

from gateway.http.watch import READER_SECONDS, UPLOAD_BYTES, UPLOAD_WINDOW, Watch, Watched


class FakeTask:
    """Counts cancellations."""

    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


class FakeRequest:
    """What the watch sees of a request."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.whole = False
        self.received = 0
        self.gone = False
        self.held_back = False
        self.malformed = False
        self.on_gone: Any = None
        self.unread_since: float | None = None
        self.taken: list[float] = []
        """When it is asked whether the client reads, it has, up to now, at these times."""

    def reads_on(self) -> bool:
        if not self.taken:
            return False
        self.unread_since = self.taken.pop(0)
        return True


def watched() -> tuple[Watched, FakeRequest, FakeTask]:
    """A request that began at 100.0 and reads its body."""
    task = FakeTask()
    request = FakeRequest(task)
    return Watched(request, 100.0), request, task


def test_a_body_must_make_progress() -> None:
    """Less than a kilobyte in a window of 30 s ends the request; as much as that, window after window, does not."""
    found, request, task = watched()
    found.look(100.1)
    for window in range(1, 4):
        request.received += UPLOAD_BYTES
        found.look(100.0 + UPLOAD_WINDOW * window + 1)
    request.received += UPLOAD_BYTES - 1
    found.look(100.0 + UPLOAD_WINDOW * 4 - 1)
    before = task.cancelled
    found.look(1000.0)
    found.look(2000.0)
    assert (before, task.cancelled, found.verdict) == (0, 1, "slow_upload")


def test_a_client_that_we_hold_back_is_not_slow() -> None:
    """While an upstream takes nothing, the client cannot send; once it may and does not, it is slow."""
    found, request, task = watched()
    found.look(100.1)
    request.held_back = True
    for window in range(1, 4):
        found.look(100.0 + UPLOAD_WINDOW * window + 1)
    before = task.cancelled
    request.held_back = False
    found.look(1000.0)
    assert (before, task.cancelled) == (0, 1)


def test_a_body_that_is_here_is_not_looked_at() -> None:
    """However long the answer takes."""
    found, request, task = watched()
    request.whole = True
    for now in (100.1, 200.0, 300.0, 1000.0):
        found.look(now)
    assert task.cancelled == 0


def test_a_client_must_read() -> None:
    """Who takes nothing for a minute is ended; who takes something, however slowly, is not."""
    found, request, task = watched()
    request.whole = True
    request.unread_since, quarter = 100.0, READER_SECONDS / 4
    request.taken = [100.0 + quarter, 500.0]
    found.look(100.0 + quarter)
    found.look(500.0)
    found.look(500.0 + 3 * quarter - 1)
    before = task.cancelled
    found.look(500.0 + 3 * quarter)
    assert (before, task.cancelled, found.verdict) == (0, 1, "slow_reader")


async def test_a_client_that_leaves_ends_its_request() -> None:
    """Its task is cancelled at once with the verdict `gone`, and only while the watch looks after it; one that left
    before is ended as soon as it is watched."""
    watch = Watch()
    request, late = FakeRequest(FakeTask()), FakeRequest(FakeTask())
    found = watch.add(request)
    request.on_gone()
    request.on_gone()
    assert (request.task.cancelled, found.verdict, len(watch)) == (1, "gone", 1)
    watch.remove(found)
    assert (request.on_gone, len(watch)) == (None, 0)
    late.gone = True
    found = watch.add(late)
    assert (late.task.cancelled, found.verdict) == (1, "gone")
    watch.remove(found)
