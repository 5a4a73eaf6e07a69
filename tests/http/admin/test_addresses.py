"""What providers that are made over the API may point at."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tests.support.admin import AdminApi
from tests.test_addresses import FORBIDDEN, PRIVATE, PUBLIC, SPELLINGS

ACME = {"type": "openai_compatible", "name": "Acme", "auth_method": "api_key"}


def _url(address: str) -> str:
    host = f"[{address.partition('%')[0]}]" if ":" in address else address
    return f"http://{host}:8000/v1"


async def test_no_address_of_our_own_is_taken(sqlite_api: AdminApi) -> None:
    """Every private, forbidden and wrapped address is refused, with the field at fault; nothing is made of it."""
    for number, address in enumerate([*PRIVATE, *FORBIDDEN]):
        given = {**ACME, "identifier": f"p{number}", "base_url": _url(address)}
        reply = await sqlite_api.call("POST", "/providers", given)
        assert reply.status_code == 422, (address, reply.text)
        assert reply.json()["error"]["field"] == "base_url", address
    assert (await sqlite_api.call("GET", "/providers?search=Acme")).json()["items"] == []


async def test_other_spellings_are_names(sqlite_api: AdminApi) -> None:
    """What only resolvers take for an address is refused, or a name, which the engines look at."""
    for number, spelling in enumerate(SPELLINGS):
        given = {**ACME, "identifier": f"s{number}", "base_url": _url(spelling)}
        reply = await sqlite_api.call("POST", "/providers", given)
        assert reply.status_code in (201, 422), (spelling, reply.text)


@pytest.mark.parametrize("address", [address for address in PUBLIC if not ip_address(address).is_reserved][:6])
async def test_public_addresses_are_taken(sqlite_api: AdminApi, address: str) -> None:
    """What everybody may reach."""
    given = {**ACME, "identifier": "acme", "base_url": _url(address)}
    assert (await sqlite_api.call("POST", "/providers", given)).status_code == 201


@pytest.mark.parametrize("field", ["allow_private_network", "private_network", "networks"])
async def test_nobody_permits_private_networks_over_the_api(sqlite_api: AdminApi, field: str) -> None:
    """That is the operator's word, in the file and in the environment."""
    for place in ({field: True}, {"runtime": {field: True}}, {"auth_config": {field: True}}):
        given = {**ACME, "identifier": "acme", "base_url": "http://10.0.0.1/v1", **place}
        assert (await sqlite_api.call("POST", "/providers", given)).status_code == 422, place
