"""Which call of a streamed response an event is about.

The place in the output (`output_index`) should tell. Some servers give every item the same one: the item's own id then
tells, and where there is none, the last call that began at the place is meant.
"""

from __future__ import annotations

from gateway.bridges.chat.said import Event, Item


class Begun:
    """A call that began. `told`: some of its arguments were."""

    __slots__ = ("call_id", "number", "told")

    def __init__(self, number: int, call_id: str | None, *, told: bool) -> None:
        self.number = number
        self.call_id = call_id
        self.told = told


class Calls:
    """Those of one answer, numbered as they begin."""

    __slots__ = ("_begun", "_by_id", "_by_place")

    def __init__(self) -> None:
        self._begun = 0
        self._by_place: dict[int, Begun] = {}
        self._by_id: dict[str, Begun] = {}

    def begin(self, place: int, item: Item, *, told: bool) -> Begun:
        """One more."""
        call = Begun(self._begun, item.call_id, told=told)
        self._begun += 1
        self._by_place[place] = call
        if item.id:
            self._by_id[item.id] = call
        return call

    def at(self, place: int) -> Begun:
        """The last that began at this place; one that nobody announced is taken to begin now."""
        return self._by_place.get(place) or self.begin(place, Item(), told=False)

    def of_delta(self, event: Event) -> Begun:
        """The one whose arguments these are."""
        return self._by_id.get(event.item_id or "") or self.at(event.output_index)

    def of_item(self, place: int, item: Item) -> Begun | None:
        """The one that is over; None where it never began."""
        for known in (self._by_id.get(item.id or ""), self._by_place.get(place)):
            if known is not None and known.call_id in (None, item.call_id):
                return known
        return None
