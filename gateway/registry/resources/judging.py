"""Would the configuration hold, and what is it? Answered without any secret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gateway.registry.resources.joining import fitted
from gateway.registry.resources.unlocking import stand_ins

if TYPE_CHECKING:
    from gateway.registry.compiling import Context
    from gateway.registry.interpolation import Interpolated
    from gateway.registry.loader import Loaded
    from gateway.registry.resources.errors import Problem
    from gateway.registry.resources.fragment import Fragment
    from gateway.registry.resources.intake import Intake
    from gateway.registry.snapshot import Snapshot


class Judge:
    """Holds fragments against the file's document as `base` gives it now."""

    def __init__(self, base: Callable[[], Interpolated], context: Context) -> None:
        self._base = base
        self._context = context

    def __call__(self, fragment: Fragment) -> list[Problem]:
        """What of the fragment would be parked, and why."""
        return fitted(self._base(), fragment, stand_ins, self._context)[1]


class Picture:
    """The configuration as the workers have it, but for its secrets: for who explains and shows it."""

    def __init__(self, file: Callable[[], Loaded], intake: Intake) -> None:
        self._file = file
        self._intake = intake
        self._made: tuple[Loaded, int, Snapshot] | None = None

    def snapshot(self) -> Snapshot:
        """File and database together."""
        loaded, revision = self._file(), self._intake.refresh()
        made = self._made
        if made is None or made[0] is not loaded or made[1] != revision:
            made = self._made = (loaded, revision, self._intake.join(loaded, sealed=True).snapshot)
        return made[2]

    def parked(self) -> Sequence[Problem]:
        """What of the database is not in it, and why."""
        self.snapshot()
        return self._intake.parked
