"""Servers that tests of several folders share; started by the first test that asks."""

from __future__ import annotations

import os
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from gateway.storage.sql.migrate import migrate
from tests.support.postgres import Postgres, server
from tests.support.rig import Rig, rigged

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).resolve().parent.parent
COVERAGE = run_path(str(ROOT / "scripts" / "coverage_run.py"))

# Other work on the machine must not decide a test: neither an example nor its making is too slow.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--unmeasured`: only what `scripts/coverage_run.py` leaves out, so that a run after it plays no test twice."""
    parser.addoption("--unmeasured", action="store_true", help="only the tests that the coverage run leaves out")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three for two cores: many tests wait for processes, timers and disks; those that take seconds wait for more."""
    cores = len(os.sched_getaffinity(0))
    return cores * 2 if config.getoption("--unmeasured") else cores + cores // 2


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--unmeasured`, what holds none of its tests is not even read."""
    if not config.getoption("--unmeasured") or not collection_path.name.startswith("test_"):
        return None
    return None if _is_outer(collection_path) or _has_slow(collection_path) else True


def _is_outer(path: Path) -> bool:
    return any(path.is_relative_to(ROOT / one) for one in COVERAGE["OUTER"])


def _has_slow(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return "mark.slow" in text or "sizes(" in text


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """See `--unmeasured`. Tests that share what is made once for their module, a gateway mostly, run on one worker."""
    unseen = {str(item.path) for item in items if item.get_closest_marker("slow") and not _has_slow(item.path)}
    if unseen:
        raise pytest.UsageError(f"`--unmeasured` would not find the slow tests of {', '.join(sorted(unseen))}")
    if config.getoption("--unmeasured"):
        kept = {item: None for item in items if item.get_closest_marker("slow") or _is_outer(item.path)}
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
    for item in items:
        if item.get_closest_marker("xdist_group") is None and _shares(item):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


def _shares(item: pytest.Item) -> bool:
    """Whether it uses what is made once for its module."""
    if not isinstance(item, pytest.Function):
        return False
    # There is no public way to ask.
    found = item._fixtureinfo.name2fixturedefs.values()
    return any(definitions[-1].scope == "module" for definitions in found)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for every test of this worker; `create()` gives a database of one's own."""
    with server() as found:
        yield found


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """A migrated database of this worker: whoever uses it empties the tables first."""
    url = postgres.create()
    migrate(url)
    return url


@pytest.fixture(scope="module")
def shared() -> Iterator[Rig]:
    """One gateway before two scripted providers for a module; one with settings of its own has its own."""
    with rigged() as rig:
        yield rig


@pytest.fixture
def rig(shared: Rig) -> Rig:
    """That gateway, as if nothing had happened yet."""
    return shared.fresh()
