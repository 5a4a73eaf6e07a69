"""`/readyz`: yes means that whoever has a key is served."""

from __future__ import annotations

from pathlib import Path

from gateway.app import KEYS_SECONDS, KEYS_UNKNOWN
from tests.commands.test_keys_served import command
from tests.support.app import running
from tests.support.gateway import GatewayProcess, get
from tests.support.store import own_store

CONFIG = "version: 1\nproviders: {mock: {type: mock, models: [mock-small]}}\n"


class Impatient(GatewayProcess):
    """Asks as soon as it is ready, and not when it logs that its keys are known."""

    def _until_keys_are_known(self) -> None:
        pass


def test_ready_means_that_keys_are_known(tmp_path: Path) -> None:
    """A gateway whose store is new has its keys in the database alone: it is ready once they can be checked."""
    secret = command(tmp_path, "create", "--name", "ci")
    with Impatient(CONFIG, tmp_path) as gateway:
        assert get(f"{gateway.api}/models", {"authorization": f"Bearer {secret}"}).status == 200
        assert gateway.get("/readyz").json()["reasons"] == []


def test_it_does_not_wait_for_ever() -> None:
    """Where nobody says which keys there are, those who need none are served after a while; why others are not, is told
    on."""
    with own_store() as store, running(CONFIG, {"run_time_keys": True, "redis_url": store.url}) as gateway:
        reply = gateway.get("/readyz")
        assert (reply.status, reply.json["reasons"]) == (503, [KEYS_UNKNOWN])
        gateway.worker._started -= KEYS_SECONDS
        reply = gateway.get("/readyz")
        assert (reply.status, reply.json["status"], reply.json["reasons"]) == (200, "ok", [KEYS_UNKNOWN])
