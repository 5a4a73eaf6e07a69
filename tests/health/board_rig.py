"""A board, with a clock that tests move and a record of what it told."""

from __future__ import annotations

from random import Random
from typing import Any

from gateway.errors import GatewayError, UpstreamServerError
from gateway.health.board import Board, Hint
from gateway.health.breaker import OPEN_AFTER
from gateway.ports import DeploymentChanged, Ticket
from gateway.telemetry.base import SilentObserver
from gateway.types import Deployment, Provider

PROVIDER = Provider("p", "openai", "http://127.0.0.1", api_keys=("one",))
D = Deployment("p/m", PROVIDER, "m")


class Time:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Changes(SilentObserver):
    """What was told."""

    def __init__(self) -> None:
        self.all: list[DeploymentChanged] = []

    def deployment_changed(self, change: DeploymentChanged) -> None:
        self.all.append(change)

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(change.state, change.cause) for change in self.all]


class Rig:
    """A board with its clock and its listeners."""

    def __init__(self, deployment: Deployment = D) -> None:
        self.time, self.changes, self.told = Time(), Changes(), list[Hint]()
        self.board = Board(self.changes, self.time, Random(4))
        self.board.tell = self.told.append
        self.board.keep([deployment])
        self.deployment = deployment

    def attempt(self, error: GatewayError | None = None, **how: Any) -> bool:
        """One attempt; whether it was let in."""
        ticket = self.board.enter(self.deployment)
        if ticket is None:
            return False
        if error is None:
            self.board.answered(ticket, None, None)
        self.board.leave(ticket, error, **how)
        return True

    def fail(self, count: int = OPEN_AFTER) -> None:
        for _ in range(count):
            assert self.attempt(UpstreamServerError())

    @property
    def seconds_out(self) -> float:
        return max(0.0, self.board.of(self.deployment).out_until - self.time.now)


def on_trial(rig: Rig) -> Ticket:
    """The next trial, which is let in."""
    trial = rig.board.enter(D)
    assert trial is not None
    assert trial.trial
    return trial


def heard(rig: Rig, out_for: str = "breaker", seconds: float = 20.0) -> None:
    rig.board.hear(Hint(D.id, out_for, seconds, "5xx", "another"))
