"""A second attempt beside a first that is slow: whichever begins its answer first serves, the other is cancelled.

Both are attempts like any other, each with a ledger row of its own; the cancelled one is at the gateway's cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from gateway.errors import UpstreamError, UpstreamOutrun
from gateway.ports import Clock, Health, Ticket
from gateway.types import Call, Deployment, Plan
from gateway.upstream.latencies import Latencies, Share
from gateway.upstream.progress import Answer, Attempts, Progress
from gateway.upstream.retry import Failure

TryOne = Callable[[Call, Deployment, Progress, Attempts, Ticket], Awaitable[Answer]]


class Leg(msgspec.Struct, eq=False):
    """One of the two attempts, with how far it has come."""

    deployment: Deployment
    progress: Progress
    task: asyncio.Task[Answer]


class Hedger:
    """Runs first attempts of hedged routes. Holds no state of a call."""

    def __init__(self, try_one: TryOne, health: Health, clock: Clock) -> None:
        self._try = try_one
        self._health = health
        self._clock = clock
        self._latencies = Latencies()
        self._share = Share()

    async def run(self, call: Call, plan: Plan, progress: Progress, attempts: Attempts, ticket: Ticket) -> Answer:
        """The first attempt of a call, hedged. Raises as one attempt does; where both fail, what the later one raised.
        `progress` is then as if the leg that decided had been the only one, but for the count of attempts."""
        self._share.called(plan.route)
        keeper = self._leg(call, plan.targets[0], progress, attempts, ticket)
        legs = [keeper]
        progress.deployment, progress.number, progress.began = plan.targets[0], 1, self._clock()
        progress.sent = True
        trouble: BaseException | None = None
        try:
            after = self._after(plan, call)
            if after is not None:
                await asyncio.wait({keeper.task}, timeout=after)
                if not keeper.task.done() and (second := self._second(call, plan, progress, attempts)) is not None:
                    legs.append(second)
            keeper = await self._race(legs, call)
        except BaseException as error:  # the client left, if nothing worse: what runs is ended before it is told
            trouble = error
        try:
            await self._end(legs, keeper, attempts, call)
        except asyncio.CancelledError as left:
            trouble = left
        _merge(progress, legs, keeper)
        if trouble is None:
            return await keeper.task
        progress.orphan = keeper.task  # its answer may have come in that very moment
        raise trouble

    def _after(self, plan: Plan, call: Call) -> float | None:
        assert plan.hedge is not None
        given = plan.hedge.after
        return given if given is not None else self._latencies.p95(plan.targets[0].id, stream=call.stream)

    def _second(self, call: Call, plan: Plan, progress: Progress, attempts: Attempts) -> Leg | None:
        """The other leg: at the next deployment, or the same one where there is no other. None while the client still
        sends: both would wait for the same bytes, and the first is only as late as they are."""
        assert plan.hedge is not None
        if call.upload is not None and call.upload.parts() is None:
            return None
        others = plan.targets[1:] or plan.targets
        found = next((target for target in others if self._may(target, attempts)), None)
        if found is None or not self._share.take(plan.route, plan.hedge.max_share):
            return None
        ticket = self._health.enter(found, again=True)
        if ticket is None:
            return None
        progress.attempts = 1
        return self._leg(call, found, progress, attempts, ticket)

    def _may(self, deployment: Deployment, attempts: Attempts) -> bool:
        """Not where a deployment has limits of its own: one call would hold them twice."""
        return not attempts.bound(deployment) and self._health.usable(deployment) and self._health.affords(deployment)

    def _leg(self, call: Call, deployment: Deployment, progress: Progress, attempts: Attempts, ticket: Ticket) -> Leg:
        own = Progress(attempts=progress.attempts, deadline=progress.deadline, patience=progress.patience)

        async def attempt() -> Answer:
            return await self._try(call, deployment, own, attempts, ticket)

        return Leg(deployment, own, asyncio.ensure_future(attempt()))

    async def _race(self, legs: list[Leg], call: Call) -> Leg:
        """The leg that decides: the first that answers, or ends in what is not a provider's failure, else the last."""
        running = {leg.task: leg for leg in legs}
        while True:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task in done]:
                leg = running.pop(task)
                error = task.exception()
                if error is None:
                    self._latencies.learn(leg.deployment.id, self._clock() - leg.progress.began, stream=call.stream)
                if not running or not isinstance(error, UpstreamError):
                    return leg

    async def _end(self, legs: list[Leg], keeper: Leg, attempts: Attempts, call: Call) -> None:
        """Cancel what still runs, and book the leg that lost, unless it failed by itself. A cancellation meanwhile is
        passed on once all of that is done."""
        for leg in legs:
            leg.progress.outrun = leg is not keeper
            leg.task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while running := [leg.task for leg in legs if not leg.task.done()]:
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError as error:
                cancelled = error
        for leg in legs:
            if leg is keeper or leg.progress.failures or not leg.progress.number:
                continue
            if leg.progress.ticket is not None:
                # Both began in the same moment.
                answer = leg.task.result()
                if answer.relay is not None:
                    answer.relay.abort()
                self._health.leave(leg.progress.ticket, None)
            seconds = self._clock() - leg.progress.began
            if leg is legs[0]:
                # It took at least so long. Without it the quick ones alone would say what is late.
                self._latencies.learn(leg.deployment.id, seconds, stream=call.stream)
            failure = Failure(leg.deployment, UpstreamOutrun(), leg.progress.requests)
            attempts.failed(failure, seconds, leg.progress.number)
        if cancelled is not None:
            raise cancelled


def _merge(progress: Progress, legs: list[Leg], keeper: Leg) -> None:
    kept = keeper.progress
    progress.attempts = max(leg.progress.attempts for leg in legs)
    progress.failures += [failure for leg in legs for failure in leg.progress.failures]
    progress.waited += legs[0].progress.waited
    progress.ticket, progress.sent, progress.requests = kept.ticket, kept.sent, kept.requests
    if kept.deployment is not None:
        progress.deployment, progress.number, progress.began = kept.deployment, kept.number, kept.began
