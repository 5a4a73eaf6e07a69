"""What a worker reports: failures together, changes at once, nothing of what goes well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.health import reporter as module
from gateway.health.events import HARMFUL, STREAM, BadEvents, Event, Failures, Recovered, decode, encode
from gateway.health.reporter import Reporter
from gateway.ports import DeploymentChanged, ProbeResult
from gateway.types import Attempt
from tests.support.waiting import eventually
from tests.telemetry.facts import DEPLOYMENT, SPARE

if TYPE_CHECKING:
    from gateway.storage.embedded import EmbeddedRedis
    from gateway.storage.redis import RedisClient


class Clock:
    now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


async def _written(redis: RedisClient) -> list[list[Event]]:
    entries = await redis.execute("XRANGE", STREAM, "-", "+")
    return [decode(fields[1]) for _, fields in entries]


async def test_failures_are_told_together(redis: RedisClient) -> None:
    """Many failures of one kind are one report, before what follows from them; the first success after them is told,
    other successes are not."""
    reporter = Reporter(redis, Clock())
    for _ in range(5):
        reporter.attempt_finished(Attempt(SPARE, 1, "ok", 0.1))
    for outcome in ("5xx", "5xx", "stall", "5xx", "4xx", "429", "disconnect_pre"):
        reporter.attempt_finished(Attempt(DEPLOYMENT, 1, outcome, 0.1))
    change = DeploymentChanged(DEPLOYMENT.id, "out", "breaker", 105.0)
    reporter.deployment_changed(change)
    await reporter.flush()
    for _ in range(3):
        reporter.attempt_finished(Attempt(DEPLOYMENT, 1, "ok", 0.1))
    await reporter.flush()
    await reporter.flush()
    assert await _written(redis) == [
        [Failures(DEPLOYMENT.id, "5xx", 3, 101.0, 104.0), Failures(DEPLOYMENT.id, "stall", 1, 103.0, 103.0), change],
        [Recovered(DEPLOYMENT.id, 105.0)],
    ]


async def test_probes_of_others_are_theirs_to_tell(redis: RedisClient) -> None:
    """A probe is reported by the worker that made it."""
    reporter = Reporter(redis)
    own = ProbeResult("p", None, "ok", 1.0, 0.1)
    reporter.probe_finished(own)
    reporter.probe_finished(ProbeResult("p", None, "5xx", 2.0, 0.1, heard=True))
    await reporter.close()
    assert await _written(redis) == [[own]]


async def test_reports_wait_for_the_store(
    server: EmbeddedRedis, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Redis does not take stays, in order and bounded: the oldest go first."""
    monkeypatch.setattr(module, "WAITING", 3)
    reporter = Reporter(redis)
    changes = [DeploymentChanged(f"p/{n}", "out", "breaker", float(n)) for n in range(5)]
    await redis.ping()
    server.stop()
    for change in changes:
        reporter.deployment_changed(change)
        await reporter.flush()
    assert list(reporter._waiting)[-1] == changes[-1]
    assert len(reporter._waiting) <= 4
    server.start()

    async def flushed() -> bool:
        await reporter.flush()
        return not reporter._waiting

    await eventually(flushed)
    [written] = await _written(redis)
    assert written == [change for change in changes if change in written]


async def test_memory_is_bounded(redis: RedisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many things fail in however many ways, so many are counted apart."""
    monkeypatch.setattr(module, "TALLIED", 2)
    reporter = Reporter(redis)
    for outcome in ("5xx", "stall", "tls"):
        for deployment in (DEPLOYMENT, SPARE):
            reporter.attempt_finished(Attempt(deployment, 1, outcome, 0.1))
    assert len(reporter._tally) == 2
    assert len(reporter._failing) <= 2


def test_what_is_harmful() -> None:
    """Outcomes that the failure table counts against a provider, and none of the client's own."""
    assert {"5xx", "connect_refused", "tls", "provider_auth", "stall", "address_forbidden"} <= HARMFUL
    assert not {"4xx", "429", "409", "pool_timeout", "no_sockets", "ok", "disconnect_pre"} & HARMFUL


@pytest.mark.parametrize("value", [b"", b"\xc1x", b"\x90\x90", encode([])[:-1], b'[{"type":"probe"}]'])
def test_what_nobody_wrote(value: bytes) -> None:
    """Bytes that are no report are said to be none."""
    with pytest.raises(BadEvents):
        decode(value)
