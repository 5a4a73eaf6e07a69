"""Would the configuration hold? Answered without any secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.registry.resources.joining import fitted
from gateway.registry.resources.unlocking import stand_ins

if TYPE_CHECKING:
    from gateway.registry.compiling import Context
    from gateway.registry.interpolation import Interpolated
    from gateway.registry.resources.errors import Problem
    from gateway.registry.resources.fragment import Fragment


class Judge:
    """Holds fragments against the file's document as `base` gives it now."""

    def __init__(self, base: Callable[[], Interpolated], context: Context) -> None:
        self._base = base
        self._context = context

    def __call__(self, fragment: Fragment) -> list[Problem]:
        """What of the fragment would be parked, and why."""
        return fitted(self._base(), fragment, stand_ins, self._context)[1]
