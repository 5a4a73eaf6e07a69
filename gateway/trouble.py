"""What keeps a task that goes on by itself from its work."""

from __future__ import annotations

from collections.abc import Callable


class Trouble:
    """Told when it begins and when it is over, not each time that the task is tried in between."""

    __slots__ = ("_began", "_over", "reason")

    def __init__(self, began: Callable[[str], object], over: Callable[[], object]) -> None:
        """`began` is called with the reason."""
        self._began = began
        self._over = over
        self.reason: str | None = None
        """Why the work is not done; None: it is."""

    def met(self, error: Exception) -> None:
        """Somebody whom the work needs is away, or says no."""
        reason = f"{type(error).__name__}: {error}"
        if self.reason is None:
            self._began(reason)
        self.reason = reason

    def fault(self, error: Exception) -> None:
        """A fault of ours, which whoever caught it has logged. Its text is nothing for others to read."""
        self.reason = type(error).__name__

    def over(self) -> None:
        """The work is done."""
        if self.reason is not None:
            self.reason = None
            self._over()
