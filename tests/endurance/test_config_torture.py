"""The configuration file is broken, cut, removed and swapped in every way under load: no request fails of it."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway.registry import load
from tests.support.gateway import eventually

from .configs import secret
from .conftest import Report
from .load import Line, Reply, Tally, chat, clients, dial
from .rig import Rig, rig
from .sizes import sizes

QUICK, SLOW = "mock-small", "mock-fault/pace-20ms+tokens-40"
WORKERS, CLIENTS = 2, 12
# One line at the end holds what everything needs, so that no beginning of the file is valid by itself.
TEXT = """version: 1
zone: ZONE
keys:
  - {{name: key, secret: {secret}, limits: {{concurrency: 500}}}}
providers: {{far: {{type: openai_compatible, base_url: MOCK, retry_attempts: 0, models: ["{quick}", "{slow}"]}}}}
""".format(secret=secret("key"), quick=QUICK, slow=SLOW)
ZONES = ("UTC", "Europe/Berlin", "Asia/Tokyo")
"""What tells the good versions apart; no call depends on it."""


class Vandal:
    """Does something to the file, each time something else. `versions` are the good contents."""

    def __init__(self, path: Path, versions: list[str], chance: random.Random) -> None:
        self.path = path
        self.done: Counter[str] = Counter()
        self._versions = versions
        self._chance = chance
        self._count = 0

    def act(self) -> None:
        """One deed."""
        deeds: list[Callable[[], None]] = [
            self.break_it, self.cut, self.garbage, self.remove, self.move_away, self.directory,
            self.replace, self.rewrite, self.replace_broken, self.config_map, self.config_map,
        ]  # fmt: skip
        deed = self._chance.choice(deeds)
        deed()
        self.done[deed.__name__] += 1

    def good(self) -> str:
        """Some version that can be served."""
        return self._chance.choice(self._versions)

    def bad(self) -> str:
        """Some text that cannot."""
        text = self.good()
        return self._chance.choice(
            [
                text.replace("type:", "tpye:"),
                text.replace("providers:", "\tproviders:"),
                text.replace("openai_compatible", "nobody"),
                text.replace("{name: key", "{name: key, team: missing"),
                text + "providers: {}\n",
                "",
            ]
        )

    # ---- in place

    def _clear(self) -> None:
        if self.path.is_dir() and not self.path.is_symlink():
            self.path.rmdir()

    def _write(self, text: str) -> None:
        self._clear()
        if self.path.is_symlink():
            self.path.unlink()
        self.path.write_text(text)

    def rewrite(self) -> None:
        """As editors do that write into the file."""
        self._write(self.good())

    def break_it(self) -> None:
        """With a mistake."""
        self._write(self.bad())

    def cut(self) -> None:
        """As a full disk does."""
        text = self.good()
        self._write(text[: self._chance.randrange(len(text) - 2)])

    def garbage(self) -> None:
        """Bytes that are no text."""
        self._clear()
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(self._chance.randbytes(300))

    # ---- by name

    def remove(self) -> None:
        """Gone."""
        self._clear()
        self.path.unlink(missing_ok=True)

    def move_away(self) -> None:
        """Under another name."""
        self._clear()
        if self.path.exists() or self.path.is_symlink():
            self.path.rename(self.path.with_name("old.yaml"))

    def directory(self) -> None:
        """A directory in its place."""
        self.remove()
        self.path.mkdir()

    def replace(self) -> None:
        """As deployment tools do: written beside, renamed over."""
        self._over(self.good())

    def replace_broken(self) -> None:
        """The same with a mistake."""
        self._over(self.bad())

    def _over(self, text: str) -> None:
        self._clear()
        fresh = self.path.with_name("fresh.tmp")
        fresh.write_text(text)
        fresh.rename(self.path)

    def config_map(self) -> None:
        """As Kubernetes does: file -> ..data/file, and ..data -> a dated directory, swapped by a rename."""
        self._count += 1
        parent = self.path.parent
        version, data = parent / f"..{self._count}", parent / "..data"
        before = data.readlink() if data.is_symlink() else None
        version.mkdir()
        (version / self.path.name).write_text(self._chance.choice([self.good(), self.bad()]))
        (parent / "..tmp").symlink_to(version.name)
        (parent / "..tmp").rename(data)
        if not self.path.is_symlink():
            self.remove()
            self.path.symlink_to(Path("..data") / self.path.name)
        if before is not None:
            shutil.rmtree(parent / before)


class Seen:
    """What clients were served under."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.revisions: Counter[str] = Counter()
        self.unfinished = 0

    def add(self, reply: Reply) -> None:
        """Count an answer."""
        self.tally.add(reply)
        self.revisions[revision_of(reply.head)] += 1
        self.unfinished += b"chunked" in reply.head.lower() and b"data: [DONE]" not in reply.body


def revision_of(head: bytes) -> str:
    """What `x-gateway-revision` says; empty without one."""
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(": ")
        if name.lower() == "x-gateway-revision":
            return value
    return ""


async def call(port: int, bodies: tuple[bytes, bytes], seen: Seen, stop: asyncio.Event) -> None:
    """A stream and four quick calls on a connection, again and again."""
    line: Line | None = None
    number = 0
    while not stop.is_set():
        if line is None or number % 20 == 0:
            if line is not None:
                line.abort()
            line = await dial(port)
        seen.add(await line.ask(bodies[number % 5 == 0]))
        number += 1
    if line is not None:
        line.abort()


def serves_only(under: Rig, revision: str) -> bool:
    """Whether every worker serves this revision."""
    found = {dict(labels)["revision"]: value for (name, labels), value in under.gateway.metrics().items()
             if name == "gateway_config_revision"}  # fmt: skip
    return {name: value for name, value in found.items() if value} == {revision: WORKERS}


@sizes("deeds", 30, 500)
async def test_a_file_under_torture(deeds: int, tmp_path: Path, report: Report) -> None:
    """Every request is answered, under a revision that was good; streams end as they should; in the end all workers
    serve the last good file and have nothing to complain about."""
    chance = random.Random(deeds)
    with rig(TEXT.replace("ZONE", ZONES[0]), tmp_path, workers=WORKERS) as under:
        path, text = under.gateway.config, under.gateway.config.read_text()
        versions = [text.replace(ZONES[0], zone) for zone in ZONES]
        good = set()
        for version in versions:
            path.write_text(version)
            good.add(load(path, {}).snapshot.revision)
        assert len(good) == len(ZONES)
        vandal, seen = Vandal(path, versions, chance), Seen()
        bodies = (
            chat(under.port, secret("key"), QUICK),
            chat(under.port, secret("key"), SLOW, stream=True),
        )
        async with clients([partial(call, under.port, bodies, seen)] * CLIENTS):
            for number in range(deeds):
                vandal.act()
                if number % 7 == 0:
                    assert under.gateway.pid is not None
                    os.kill(under.gateway.pid, signal.SIGHUP)
                await asyncio.sleep(chance.choice([0.0, 0.02, 0.1, 0.3]))
            for version in versions:  # whatever is served now, two of these are news
                vandal.remove()
                path.write_text(version)
                last = load(path, {}).snapshot.revision
                converged = partial(serves_only, under, last)
                await asyncio.to_thread(eventually, converged, "all workers on the last revision", 30)
        ready = under.gateway.get("/readyz").json()
        assert ready == {"status": "ok", "revision": last, "reasons": []}
        report(
            f"{sum(seen.tally.statuses.values())} requests during {deeds} deeds {dict(vandal.done)}: "
            f"{dict(seen.tally.statuses)}, revisions {dict(seen.revisions)}, reloads "
            f"{under.gateway.metric('gateway_config_reloads_total', result='ok'):.0f} taken, "
            f"{under.gateway.metric('gateway_config_reloads_total', result='rejected'):.0f} rejected"
        )
        assert set(seen.tally.statuses) == {200}
        assert seen.unfinished == 0
        assert set(seen.revisions) <= good
        assert len(seen.revisions) > 1
        assert under.gateway.metric("gateway_config_reloads_total", result="rejected") > 0


@sizes("streams", 10, 200)
async def test_calls_end_on_the_revision_they_began_on(streams: int, tmp_path: Path) -> None:
    """Streams whose model, route and key are gone from the file go on to their end, and say the revision that had
    them."""
    model = "mock-fault/pace-50ms+tokens-60"
    with rig(TEXT.replace("ZONE", "UTC").replace(SLOW, model), tmp_path, workers=WORKERS) as under:
        path, text = under.gateway.config, under.gateway.config.read_text()
        before = load(path, {}).snapshot.revision
        lines = [await dial(under.port) for _ in range(streams)]
        answers = [line.send(chat(under.port, secret("key"), model, stream=True)) for line in lines]
        await asyncio.gather(*(line.received(1) for line in lines))
        path.write_text(text.replace(model, "another").replace(secret("key"), secret("other")))
        after = load(path, {}).snapshot.revision
        await asyncio.to_thread(eventually, partial(serves_only, under, after), "the new file", 30)
        refused = await (await dial(under.port)).ask(chat(under.port, secret("key"), model))
        assert (refused.status, refused.code, revision_of(refused.head)) == (401, "invalid_api_key", after)
        ended = await asyncio.gather(*answers)
        assert {(reply.status, revision_of(reply.head)) for reply in ended} == {(200, before)}
        assert all(b"data: [DONE]" in reply.body and b'"error"' not in reply.body for reply in ended)
