"""Servers that tests of several folders share; started by the first test that asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from gateway.storage.sql.migrate import migrate
from tests.support.postgres import Postgres, server

if TYPE_CHECKING:
    from collections.abc import Iterator


# Other work on the machine must not decide a test: neither an example nor its making is too slow.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


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
