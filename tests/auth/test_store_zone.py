"""The calendar of run-time keys' quotas follows the configuration."""

from __future__ import annotations

from gateway.auth.mirror import Mirror
from tests.auth.conftest import EMPTY, Office, Workers


async def test_a_new_zone_is_every_keys(mirror: Mirror, office: Office, workers: Workers) -> None:
    """Keys that were read before the zone changed count by the new one, too; a quota's own zone stays."""
    await mirror.step()
    quotas = [{"period": "day", "requests": 5}, {"period": "month", "requests": 9, "zone": "Asia/Tokyo"}]
    secret = await office.create(quotas=quotas)
    keys = workers()
    before = await keys.find(EMPTY, secret)
    assert [quota.zone for quota in before.quotas] == ["UTC", "Asia/Tokyo"]
    keys.zone = "Europe/Berlin"
    after = keys.known(EMPTY, secret)
    assert after is not None
    assert [quota.zone for quota in after.quotas] == ["Europe/Berlin", "Asia/Tokyo"]
    assert (after.key, after.digest) == (before.key, before.digest)
    await keys.poll()
    assert keys.known(EMPTY, secret) == after
