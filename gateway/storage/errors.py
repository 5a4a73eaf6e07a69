"""How a store fails, in words the limits and the metrics share."""

from __future__ import annotations

from typing import Literal

Reason = Literal["down", "slow", "readonly", "oom", "loading", "error"]


class StoreUnavailable(Exception):
    """Redis did not do what was asked; whether it did part of it is unknown. `reason` is the label of the failure.

    `down`: no connection, or it broke. `slow`: no answer in time. `readonly`: a replica. `oom`: its memory is full.
    `loading`: it still reads its data. `error`: anything else, such as a bug in a script.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: Reason = reason
