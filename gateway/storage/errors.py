"""How a store fails, in words the limits and the metrics share."""

from __future__ import annotations

from typing import Literal

Reason = Literal["down", "slow", "readonly", "oom", "loading", "error"]

SICK: frozenset[Reason] = frozenset({"down", "slow", "readonly", "oom", "loading"})
"""Reasons that say something about the store; `error` is about one command only."""


class StoreUnavailable(Exception):
    """Redis did not do what was asked; whether it did part of it is unknown. `reason` is the label of the failure.

    `down`: no connection, or it broke. `slow`: no answer in time. `readonly`: a replica. `oom`: its memory is full.
    `loading`: it still reads its data. `error`: anything else, such as a bug in a script.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: Reason = reason


class MissingScript(StoreUnavailable):
    """The server does not have this script: it was restarted, failed over, or flushed."""


class Redirected(StoreUnavailable):
    """This node of a Cluster does not serve the slot; another one does, for good or (`ask`) for this command only."""

    def __init__(self, slot: int, host: str, port: int, *, ask: bool) -> None:
        super().__init__("error", f"slot {slot} is elsewhere")
        self.slot = slot
        self.host = host
        """Empty: the host that answered."""
        self.port = port
        self.ask = ask


class SlotMoving(StoreUnavailable):
    """The keys of this command are on their way between two nodes of a Cluster: it did nothing, and may come again."""
