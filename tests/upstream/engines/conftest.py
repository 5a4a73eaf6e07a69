"""Every test here runs on both engines if it takes `engine`; the default one also on both event loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

from gateway.upstream.engines import create_engine
from gateway.upstream.engines.httptools_engine import HttptoolsEngine
from tests.support.tls import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.ports import Engine


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """How httpx2 gets along with plain asyncio is its own business."""
    items[:] = [item for item in items if "[asyncio-httpx2" not in item.name]


@pytest.fixture(params=["httptools", "httpx2"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    engine = create_engine(request.param)
    yield engine
    await engine.close()


@pytest.fixture
async def own() -> AsyncIterator[HttptoolsEngine]:
    """The default engine, for what only it promises."""
    engine = HttptoolsEngine()
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))
