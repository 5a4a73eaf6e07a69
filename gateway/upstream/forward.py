"""Sending a call to the deployments of its plan, one after the other, until one commits.

Commit means: a complete reply is here, or the first event of a stream is. Up to then a failed attempt is followed by
another (`retry.py` decides); after it there is no second try.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from random import Random

from gateway.errors import (
    ClientError,
    ClientGone,
    DeadlineExceeded,
    DeploymentsFull,
    GatewayError,
    UpstreamError,
    UpstreamOutrun,
)
from gateway.ports import Clock, Health, Observer, Ticket
from gateway.types import Attempt, Call, Deployment, Plan
from gateway.upstream.deadlines import client_gave_up, cut_short, out_of_patience, set_deadlines
from gateway.upstream.drain import Done, Drains
from gateway.upstream.hedge import Hedger
from gateway.upstream.outlook import all_out
from gateway.upstream.progress import UNBOOKED, Answer, Attempts, Progress, Unbooked
from gateway.upstream.retry import Failure, Try, next_try
from gateway.upstream.secrecy import without_secrets
from gateway.upstream.send import EngineOf, Sender
from gateway.upstream.turns import Turns

__all__ = ["UNBOOKED", "Answer", "Attempts", "EngineOf", "Forwarder", "Progress", "Unbooked"]


class Forwarder:
    """Sends calls. Holds no state of a call."""

    def __init__(self, sender: Sender, health: Health, observer: Observer, clock: Clock, chance: Random) -> None:
        self._sender = sender
        self._health = health
        self._observer = observer
        self._clock = clock
        self._chance = chance
        self._drains = Drains()
        self._turns = Turns()
        self._hedger = Hedger(self._try, health, clock)

    async def close(self) -> None:
        """Break off what is still read for clients that left."""
        await self._drains.close()

    async def forward(self, call: Call, plan: Plan, progress: Progress, attempts: Attempts = UNBOOKED) -> Answer:
        """The first answer that commits.

        Raises the last UpstreamError once no attempt is left; DeadlineExceeded; NoUpstream or UpstreamRateLimited when
        no deployment may be tried at the moment, DeploymentsFull when each that may is at its own limit.
        """
        set_deadlines(call, plan.targets[0], progress)
        if not self._turns or not self._turns.behind(target.id for target in plan.targets):
            try:
                return await self._through(call, plan, progress, attempts)
            except DeploymentsFull:
                if not progress.busy:
                    raise
        return await self._in_turn(call, plan, progress, attempts)

    async def _in_turn(self, call: Call, plan: Plan, progress: Progress, attempts: Attempts) -> Answer:
        """Wait in line, ask when it is our turn, and wait on if that was in vain. Raises as `forward` does; when the
        time is over it is DeploymentsFull, or DeadlineExceeded if that was the client's."""
        longest = self._clock() + max(target.provider.queue_timeout for target in plan.targets)
        until = min(longest, progress.deadline, progress.patience)
        progress.turn = turn = self._turns.join(target.id for target in plan.targets)
        try:
            while (left := until - self._clock()) > 0:
                await turn.called(left)
                progress.full_for, progress.busy = None, False
                try:
                    return await self._through(call, plan, progress, attempts)
                except DeploymentsFull:
                    if not progress.busy:
                        raise
            if out_of_patience(progress, self._clock()):
                raise DeadlineExceeded
            raise DeploymentsFull(retry_after=progress.full_for)
        finally:
            turn.leave()

    async def _through(self, call: Call, plan: Plan, progress: Progress, attempts: Attempts) -> Answer:
        """One deployment after the other, as `next_try` says. Raises as `forward` does."""
        deployment, wait = plan.targets[0], 0.0
        rest = plan
        while True:
            if wait:
                await asyncio.sleep(wait)
                progress.waited += wait
            ticket = self._health.enter(deployment, again=progress.attempts > 0, waited=wait > 0)
            if ticket is None:
                rest, deployment, wait = self._without(rest, deployment, plan, progress)
                continue
            try:
                if plan.hedge is not None and not progress.attempts and self._hedges(plan, deployment, attempts):
                    return await self._hedger.run(call, rest, progress, attempts, ticket)
                attempt = self._try(call, deployment, progress, attempts, ticket)
                return await (attempt if deployment.provider.drain is None else _outliving(attempt, progress))
            except DeploymentsFull as full:
                rest, deployment, wait = self._without(rest, deployment, plan, progress, full)
            except UpstreamError as error:
                step = self._next(rest, progress)
                if step.named:
                    plan = rest = replace(plan, targets=plan.fallbacks[error.fallback_on])
                if step.deployment is not deployment:
                    self._observer.fell_back(deployment, step.deployment, error)
                deployment, wait = step.deployment, step.wait

    def _hedges(self, plan: Plan, deployment: Deployment, attempts: Attempts) -> bool:
        """Whether a first attempt there may get company: not where answers are read on, or it has limits of its own."""
        drained = any(target.provider.drain is not None for target in plan.targets)
        return not drained and not attempts.bound(deployment)

    async def _try(
        self, call: Call, deployment: Deployment, progress: Progress, attempts: Attempts, ticket: Ticket
    ) -> Answer:
        """One attempt, admitted and booked. Raises DeploymentsFull, UpstreamError."""
        try:
            if attempts.limited(deployment):
                await attempts.begin(deployment)
            if progress.turn is not None:
                progress.turn.leave()
            answer = await self._attempt(call, deployment, progress)
        except UpstreamError as error:
            now = self._clock()
            failure = Failure(deployment, error, progress.requests)
            progress.failures.append(failure)
            progress.sent, progress.requests = False, 1
            self._finished(progress, error.outcome)
            attempts.failed(failure, now - progress.began, progress.number)
            self._health.leave(ticket, error, counts=not cut_short(error, deployment, progress, now))
            if self._turns:
                self._turns.freed(deployment.id)
            raise
        except BaseException as error:  # the deployment is left, however the attempt ended
            self._health.leave(ticket, error if isinstance(error, GatewayError) else ClientGone())
            raise
        ttft = None if answer.relay is None else self._clock() - progress.began
        self._health.answered(ticket, ttft, answer.headroom)
        progress.ticket = ticket
        return answer

    async def _attempt(self, call: Call, deployment: Deployment, progress: Progress) -> Answer:
        progress.attempts += 1
        progress.number = progress.attempts
        progress.deployment = deployment
        progress.began = began = self._clock()
        progress.sent = True
        try:
            return await self._sender.send(call, deployment, progress, progress.attempts)
        except UpstreamError as error:
            if client_gave_up(error, progress, self._clock()):
                self._finished(progress, DeadlineExceeded().reason)
                raise DeadlineExceeded from None
            raise
        except BaseException as error:
            # The client left, or its own body is at fault: not the provider's failure, but an attempt that was begun.
            progress.sent = not isinstance(error, ClientError)
            self._finished(progress, UpstreamOutrun.outcome if progress.outrun else _reason_of(error))
            raise
        finally:
            progress.waited += self._clock() - began

    def _finished(self, progress: Progress, outcome: str) -> None:
        assert progress.deployment is not None
        seconds = self._clock() - progress.began
        self._observer.attempt_finished(Attempt(progress.deployment, progress.number, outcome, seconds))

    def counts(self, deployment: Deployment) -> bool:
        """Whether its provider can be asked how many tokens a request has."""
        return self._sender.counts(deployment)

    def committed_attempt_ended(self, progress: Progress, error: GatewayError | None) -> None:
        """The committed attempt is over: well, or with what became of it after the commit."""
        outcome = "ok" if error is None else getattr(error, "outcome", error.reason)
        self._finished(progress, outcome)
        if progress.ticket is not None:
            self._health.leave(progress.ticket, error)
            if self._turns:
                self._turns.freed(progress.ticket.condition.deployment)
            progress.ticket = None

    def read_on(self, progress: Progress, answer: Answer | None, done: Done) -> bool:
        """The client has left: read its answer to the end, if its provider is to be drained and there is room. `done`
        hears of the end, with the answer if there is one."""
        deployment = progress.deployment
        return deployment is not None and self._drains.take(deployment.provider, progress, answer, done)

    def give_up(self, progress: Progress) -> Answer | None:
        """Nobody reads on: end the attempt whose client has left. The answer, broken off, if it came in that very
        moment."""
        orphan = progress.orphan
        if orphan is None or not orphan.done():
            if orphan is not None:
                orphan.cancel()
            return None
        if orphan.cancelled() or orphan.exception() is not None:
            return None
        answer = orphan.result()
        if answer.relay is not None and not answer.relay.over:
            answer.relay.abort()
        return answer

    # ---- what next

    def _next(self, plan: Plan, progress: Progress) -> Try:
        """The next attempt. Raises the error that the client gets when there is none."""
        failures, left = progress.failures, progress.deadline - self._clock()
        step = next_try(plan, failures, left, self._chance, self._may)
        if step is not None:
            return step
        last = failures[-1]
        if next_try(plan, failures, left, self._chance, self._health.usable) is not None:
            # Only the retry budget forbids it: the client must not go on in our place.
            last = failures[0]
            last.error.retryable = False
        error = without_secrets(last.error, last.deployment.provider)
        raise error from None

    def _may(self, deployment: Deployment) -> bool:
        return self._health.usable(deployment) and self._health.affords(deployment)

    def _without(
        self, rest: Plan, left_out: Deployment, plan: Plan, progress: Progress, full: DeploymentsFull | None = None
    ) -> tuple[Plan, Deployment, float]:
        """The plan without a deployment that is full or out of rotation, and what to try instead.

        Raises what there is to tell when nothing is left: the failure that came before; that all are full, with the
        shortest wait, or why waiting does not help; or that none is in rotation.
        """
        if full is not None:
            waits = [wait for wait in (full.retry_after, progress.full_for) if wait is not None]
            progress.full_for = min(waits, default=None)
            progress.busy = progress.busy or (full.busy and left_out.provider.queue_timeout > 0)
        targets = tuple(target for target in rest.targets if target is not left_out)
        tried = {failure.deployment.id for failure in progress.failures}
        following = next((target for target in targets if target.id not in tried), None)
        if following is not None:
            return replace(rest, targets=targets), following, 0.0
        if progress.failures:
            last = progress.failures[-1]
            raise without_secrets(last.error, last.deployment.provider) from None
        if full is None and progress.full_for is None:
            raise all_out([self._health.of(target) for target in plan.targets], self._clock())
        if progress.full_for is None and full is not None and full.final is not None:
            raise full.final from None
        raise DeploymentsFull(retry_after=progress.full_for) from None


def _reason_of(error: BaseException) -> str:
    if isinstance(error, GatewayError):
        return error.reason
    return (GatewayError() if isinstance(error, Exception) else ClientGone()).reason


async def _outliving(attempt: Coroutine[None, None, Answer], progress: Progress) -> Answer:
    """The attempt's answer. Cancelled, it leaves the attempt running, for who reads on or gives up."""
    task = asyncio.ensure_future(attempt)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        progress.orphan = task
        raise
