"""Reload on change, with real files and real file events."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from gateway.registry import Loaded, load, reload
from gateway.registry.reload import Reloader
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.ports import Observer
    from gateway.registry.snapshot import Snapshot

DEADLINE = 15.0


def text_for(model: str) -> str:
    return f"providers: {{mock: {{type: mock, models: [{model}]}}}}\n"


class Stage:
    """A reloader on a real file, with everything that it did written down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.snapshots: list[Snapshot] = [load(path, {}).snapshot]
        self.loads = 0
        self.told: list[tuple[str, str | None]] = []
        self.warned: list[list[str]] = []
        self.failures: list[Exception] = []
        self.swap_error: Exception | None = None
        initial = load(path, {})
        self.reloader = Reloader(path, self.load, self.swap, cast("Observer", self), initial)

    async def load(self) -> Loaded:
        self.loads += 1
        return await asyncio.to_thread(load, self.path, {})

    def swap(self, snapshot: Snapshot) -> None:
        if self.swap_error is not None:
            error, self.swap_error = self.swap_error, None
            raise error
        self.snapshots.append(snapshot)

    def config_loaded(self, revision: str, error: str | None, warnings: Sequence[str] = ()) -> None:
        self.told.append((revision, error))
        self.warned.append(list(warnings))

    def failed(self, error: Exception, request_id: str) -> None:
        del request_id
        self.failures.append(error)

    @property
    def model(self) -> str:
        return next(iter(self.snapshots[-1].models))

    def serves(self, model: str) -> Callable[[], bool]:
        return lambda: self.model == model and self.reloader.status.last_error is None

    def reports(self, text: str) -> Callable[[], bool]:
        return lambda: text in (self.reloader.status.last_error or "")


async def until(condition: Callable[[], bool]) -> None:
    await eventually(condition, seconds=DEADLINE)


@contextlib.asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Stage]:
    """A reloader that watches, proven to hear a change."""
    stage = Stage(path)
    task = asyncio.create_task(stage.reloader.run())
    try:
        yield stage
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def replace(path: Path, text: str) -> None:
    """As editors and deployment tools do: write beside, then rename over."""
    fresh = path.with_name("fresh.tmp")
    fresh.write_text(text)
    fresh.rename(path)


def remove(path: Path) -> None:
    path.unlink()


def link(path: Path, target: Path) -> None:
    path.unlink()
    path.symlink_to(target)


def write(path: Path, text: str) -> None:
    path.write_text(text)


def write_unseen(path: Path, text: str) -> None:
    """In place, with the size and the time of writing that the file had."""
    facts = path.stat()
    path.write_text(text)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (facts.st_ino, facts.st_size, facts.st_mtime_ns)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    write(file, text_for("one"))
    return file


async def test_a_file_that_is_being_written_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first part may be a valid configuration: what is written with short pauses is read once, as a whole."""
    stage, text = Stage(path), text_for("two") + "aliases: {three: two}\n"
    parts = [text[:20], text_for("two"), text]

    async def pause() -> None:
        if parts:
            write(path, parts.pop(0))

    monkeypatch.setattr(reload, "_pause", pause)
    write(path, "")
    await stage.reloader._check()
    assert (stage.loads, stage.model, list(stage.snapshots[-1].aliases)) == (1, "two", ["three"])
    assert [error for _, error in stage.told] == [None]


async def test_a_file_that_never_rests_is_read_nonetheless(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is after a while; what comes later is another change."""
    stage, pauses = Stage(path), []

    async def pause() -> None:
        pauses.append(1)
        write(path, text_for(f"m{len(pauses)}"))

    monkeypatch.setattr(reload, "_pause", pause)
    write(path, text_for("two"))
    await stage.reloader._check()
    assert (stage.loads, stage.model, len(pauses)) == (1, f"m{reload.MOST_PAUSES}", reload.MOST_PAUSES)


async def test_a_file_that_was_moved_there_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is complete; so is what a link leads to now. A new file in the place of a missing one may not be."""
    stage, pauses = Stage(path), []

    async def pause() -> None:
        pauses.append(1)

    monkeypatch.setattr(reload, "_pause", pause)
    replace(path, text_for("two"))
    await stage.reloader._check()
    other = path.with_name("other.yaml")
    write(other, text_for("three"))
    link(path, other)
    await stage.reloader._check()
    assert (stage.model, pauses) == ("three", [])
    remove(path)
    await stage.reloader._check()
    write(path, text_for("four"))
    await stage.reloader._check()
    assert (stage.model, pauses) == ("four", [1])


async def test_what_is_newly_warned_of_is_told(path: Path) -> None:
    """Each warning once, as long as it holds."""
    stage, unset = Stage(path), "  o: {type: openai, api_key: '${UNSET}'}\n"
    for version, more in enumerate((unset, unset, "", unset)):
        replace(path, f"providers:\n  mock: {{type: mock, models: [m{version}]}}\n{more}")
        assert await stage.reloader.reload_now()
    told = ["provider `o` is inactive: UNSET is not set"]
    assert stage.warned == [told, [], [], told]


async def test_a_replaced_file_is_served(path: Path) -> None:
    """An atomic rename over the file swaps the snapshot once and tells the observer."""
    async with watching(path) as stage:
        first = stage.snapshots[0].revision
        replace(path, text_for("two"))
        await until(stage.serves("two"))
        assert stage.reloader.status.revision == stage.snapshots[-1].revision != first
        assert stage.told == [(stage.snapshots[-1].revision, None)]
        replace(path, text_for("three"))
        await until(stage.serves("three"))


async def test_a_file_written_in_place_is_served(path: Path) -> None:
    """Writing into the file is a change too."""
    async with watching(path) as stage:
        write(path, text_for("two"))
        await until(stage.serves("two"))


async def test_a_file_of_the_same_size_and_time_is_served(path: Path) -> None:
    """`cp -p` over a file may leave both as they were: its time of change tells."""
    async with watching(path) as stage:
        await until(stage.serves("one"))
        write_unseen(path, text_for("two"))
        await until(stage.serves("two"))


async def test_a_truncated_file_keeps_the_last_good_one(path: Path) -> None:
    """An empty file is refused, the old configuration stays, and the next good file heals it."""
    async with watching(path) as stage:
        first = stage.snapshots[0].revision
        os.truncate(path, 0)
        await until(stage.reports("gateway.yaml:1:1: the file is empty"))
        assert stage.model == "one"
        assert stage.reloader.status.revision == first
        assert stage.told[-1][0] == first
        assert "the file is empty" in (stage.told[-1][1] or "")
        write(path, text_for("two"))
        await until(stage.serves("two"))


async def test_a_deleted_file_keeps_the_last_good_one(path: Path) -> None:
    """A deleted file is reported; when it comes back unchanged, the report ends without a swap."""
    async with watching(path) as stage:
        remove(path)
        await until(stage.reports("the file does not exist"))
        replace(path, text_for("one"))
        await until(stage.serves("one"))
        assert len(stage.snapshots) == 1
        assert stage.told[-1] == (stage.snapshots[0].revision, None)


async def test_a_broken_file_keeps_the_last_good_one(path: Path) -> None:
    """A mistake is reported with its place while the old configuration serves."""
    async with watching(path) as stage:
        replace(path, "providers:\n  mock: {type: mock, modles: [x]}\n")
        await until(stage.reports("gateway.yaml:2:22: unknown key `modles`"))
        assert stage.model == "one"


async def test_a_config_map_swap_is_served(tmp_path: Path) -> None:
    """Kubernetes swaps the link `..data` beside the file's own link: file -> ..data/file -> a dated directory."""

    def publish(version: str, model: str) -> None:
        (tmp_path / version).mkdir()
        write(tmp_path / version / "gateway.yaml", text_for(model))
        (tmp_path / "..data_tmp").symlink_to(version)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    publish("..2026_01", "one")
    path = tmp_path / "gateway.yaml"
    path.symlink_to(Path("..data") / "gateway.yaml")
    async with watching(path) as stage:
        for number, model in enumerate(("two", "three"), start=2):
            publish(f"..2026_0{number}", model)
            await until(stage.serves(model))


async def test_a_link_to_another_directory_is_followed(tmp_path: Path) -> None:
    """When the file is a link, a change of its target is heard as well."""
    actual = tmp_path / "actual"
    actual.mkdir()
    write(actual / "real.yaml", text_for("one"))
    named = tmp_path / "named"
    named.mkdir()
    (named / "gateway.yaml").symlink_to(actual / "real.yaml")
    async with watching(named / "gateway.yaml") as stage:
        replace(actual / "real.yaml", text_for("two"))
        await until(stage.serves("two"))


async def test_a_directory_that_vanishes_and_returns_is_watched_again(tmp_path: Path) -> None:
    """A volume that is unmounted and mounted again does not end the watch."""
    directory = tmp_path / "conf"
    directory.mkdir()
    path = directory / "gateway.yaml"
    write(path, text_for("one"))
    async with watching(path) as stage:
        directory.rename(tmp_path / "away")
        await until(stage.reports("the file does not exist"))
        directory.mkdir()
        write(path, text_for("two"))
        await until(stage.serves("two"))


async def test_reload_now_loads_without_an_event(path: Path) -> None:
    """A signal can ask for a reload; an unchanged revision swaps nothing and tells nobody."""
    stage = Stage(path)
    assert await stage.reloader.reload_now()
    assert (len(stage.snapshots), stage.told) == (1, [])
    write(path, text_for("two") + "# a comment\n")
    assert await stage.reloader.reload_now()
    assert stage.model == "two"
    before = stage.reloader.status
    write(path, text_for("two"))
    assert await stage.reloader.reload_now()
    assert stage.reloader.status is before
    write(path, "nonsense")
    assert not await stage.reloader.reload_now()
    assert stage.reloader.status.loaded_at == before.loaded_at
    assert stage.reloader.status.last_error


async def test_a_failing_swap_does_not_end_the_watch(path: Path) -> None:
    """What goes wrong when a snapshot is put in service is reported, and the next change is tried."""
    async with watching(path) as stage:
        stage.swap_error = RuntimeError("cannot swap")
        replace(path, text_for("two"))
        await until(lambda: bool(stage.failures))
        assert stage.model == "one"
        replace(path, text_for("three"))
        await until(stage.serves("three"))


async def test_many_broken_files_never_disturb_the_served_snapshot(path: Path) -> None:
    """A hundred bad files in a row leave the last good one in place, and the good one after them is served."""
    stage = Stage(path)
    good = text_for("one").encode()
    for size in range(100):
        with contextlib.suppress(UnicodeDecodeError):
            write(path, (good + b"routes: [{name: x}]")[: size % 60].decode())
        await stage.reloader.reload_now()
        assert stage.model == "one"
    write(path, text_for("two"))
    assert await stage.reloader.reload_now()
    assert stage.model == "two"


async def test_without_a_file_there_is_nothing_to_watch() -> None:
    """The built-in default never changes."""
    loaded = load(None, {})

    async def again() -> Loaded:
        return loaded

    reloader = Reloader(None, again, lambda _: pytest.fail("swapped"), cast("Observer", None), loaded)
    await asyncio.wait_for(reloader.run(), DEADLINE)
    assert await reloader.reload_now()
