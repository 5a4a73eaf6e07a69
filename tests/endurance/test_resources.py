"""Resources change while two replicas serve: every worker follows, no call fails, none is decided by two revisions."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.registry.resources.operations import Create, Operation, Rotate, Update
from gateway.registry.resources.records import Kind
from tests.support.control import KEY, control
from tests.support.gateway import GatewayProcess
from tests.support.ledger import postgres_database
from tests.support.store import own_store

from .conftest import Report
from .load import Reply, Tally, chat, client, clients
from .rig import Provider, provider
from .sizes import sizes

if TYPE_CHECKING:
    from tests.support.control import Control
    from tests.support.postgres import Postgres

SECRET = "endurance-secret-of-a-key-0123456789abcdef"
FILE = f"version: 1\nproviders: {{mock: {{type: mock}}}}\nkeys:\n  - {{name: k, secret: {SECRET}}}\n"
REPLICAS = 2
FULL = 1000
QUIET_SECONDS = 10.0
"""Before the changes begin, at full size."""
LINES = 4
"""Connections to each replica."""


class Estate:
    """Two replicas on one database and one store, a provider, and somebody who administers them."""

    def __init__(self, replicas: list[GatewayProcess], mock: Provider, env: dict[str, str], workers: int) -> None:
        self.replicas = replicas
        self.mock = mock
        self.env = env
        self.workers = REPLICAS * workers

    @property
    def ports(self) -> list[int]:
        return [int(one.base_url.rpartition(":")[2]) for one in self.replicas]


@contextmanager
def estate(directory: Path, postgres: Postgres, workers: int) -> Iterator[Estate]:
    """Until the block ends."""
    with ExitStack() as stack:
        mock = stack.enter_context(provider(directory / "mock"))
        env = {
            "DATABASE_URL": postgres_database(postgres),
            "REDIS_URL": stack.enter_context(own_store()).url,
            "ENCRYPTION_KEY": KEY,
            "GATEWAY_ADMIN_API": "true",
            "GATEWAY_PRIVATE_NETWORKS": "127.0.0.0/8",
            "GATEWAY_MAX_LOOP_LAG": "0",
        }
        replicas = [
            stack.enter_context(GatewayProcess(FILE, directory / f"replica-{n}", workers=workers, env=env))
            for n in range(REPLICAS)
        ]
        yield Estate(replicas, mock, env, workers)


class Follower(Tally):
    """Counts answers, and which model each revision led to."""

    def __init__(self) -> None:
        super().__init__()
        self.models: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, reply: Reply) -> None:
        """See `Tally.add`."""
        super().add(reply)
        headers = dict(line.split(b": ", 1) for line in reply.head.split(b"\r\n")[1:] if b": " in line)
        if reply.status == 200:
            self.models[headers[b"x-gateway-revision"].decode()].add(headers[b"x-gateway-model"].decode())


async def _prepared(plane: Control, under: Estate) -> str:
    """A provider with two models and a rule that leads to one of them; the rule's id."""
    await plane.provider("acme", under.mock.url, "mock-small", "mock-large", secret="sk-first-0123456789abcdef")
    settings = {"match": {"model": "m"}, "targets": [{"provider": "acme", "model": "mock-small"}]}
    made = await plane.change(Create(Kind.RULE, "r", settings))
    await plane.served(made.revision, under.workers)
    return made.the(Kind.RULE).id


@sizes("size", (30, 1), (FULL, 2))
async def test_changes_under_load(size: tuple[int, int], postgres: Postgres, tmp_path: Path, report: Report) -> None:
    """While resources change again and again, the credential among them, both replicas follow within
    a moment; no call fails, and each answer belongs to the revision that it names."""
    many, workers = size
    with estate(tmp_path, postgres, workers) as under:
        async with control(under.replicas[0].config, under.env) as plane:
            rule = await _prepared(plane, under)
            credential = (await plane.resources.list(Kind.CREDENTIAL)).items[0].id
            tally, waits = Follower(), []
            works = [partial(_call, port, tally) for port in under.ports for _ in range(LINES)]
            started = time.monotonic()
            async with clients(works):
                await asyncio.sleep(QUIET_SECONDS * (many >= FULL))
                begun = time.monotonic()
                for number in range(many):
                    model = "mock-large" if number % 2 == 0 else "mock-small"
                    targets = [{"provider": "acme", "model": model}]
                    # Another revision each time, of which one model is right.
                    settings = {"targets": targets, "max_output_tokens": 1000 + number}
                    operations: list[Operation] = [Update(Kind.RULE, rule, settings)]
                    if number % 5 == 0:
                        secret = {"api_key": f"sk-rotated-{number:04}-0123456789"}
                        operations.append(Rotate(credential, secret, overlap=60.0))
                    changed = await plane.change(*operations)
                    if number % 10 == 9:
                        waits.append(await plane.served(changed.revision, under.workers))
                waits.append(await plane.served(changed.revision, under.workers))
            ended = time.monotonic()
            spent, median = ended - begun, sorted(waits)[len(waits) // 2]
            quiet, busy = tally.p99(started, begun), tally.p99(begun, ended)
            report(
                f"{many} changes in {spent:.1f} s beside {tally.admitted} calls of {len(tally.models)} revisions; "
                f"followed within {median:.2f} s (median), {max(waits):.2f} s (slowest); "
                f"p99 of calls {quiet * 1000:.0f} ms without changes, {busy * 1000:.0f} ms beside them"
            )
            assert tally.failures == []
            assert tally.broken == 0
            assert set(tally.statuses) == {200}
            mixed = {revision: models for revision, models in tally.models.items() if len(models) > 1}
            assert mixed == {}
            assert max(waits) < 10


async def _call(port: int, tally: Tally, stop: asyncio.Event) -> None:
    await client(port, lambda: chat(port, SECRET, "m"), tally, stop, pause=0.005)
