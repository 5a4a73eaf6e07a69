"""Every way in asks for the same rights."""

from __future__ import annotations

import pytest

from gateway.http.routes import ANTHROPIC_ENDPOINTS, DEPLOYMENTS, ENDPOINTS, PREFIXES, PROVIDERS, Endpoint
from gateway.types import Service
from tests.security.carriers import CARRIERS, carried
from tests.support.app import Gateway, Reply, unique
from tests.support.rig import chat_body, keys_config, rigged, secret

# ---- CVE-2026-45339, CVE-2026-44563: a carrier without limits, a route without the list of models


def _asked(gateway: Gateway, prefix: str, endpoint: Endpoint, model: str, header: tuple[str, str]) -> Reply:
    """A call of this endpoint, with the model where the path or the body names it."""
    if endpoint.form and not endpoint.json:
        form = (
            f'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\n{model}\r\n'
            '--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n'
        )
        kind = ("content-type", "multipart/form-data; boundary=b")
        with gateway.client() as client:
            client.send("POST", prefix + endpoint.path, form.encode(), [kind, header])
            return client.reply()
    body = chat_body(model, input="x", prompt="x", documents=["x"], query="x", voice="v")
    return gateway.post(prefix + endpoint.path, body, [header])


@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_route_asks_for_the_model(carrier: str) -> None:
    """Every carrier, route and model: a key gets those that its list names, and no other, anywhere."""
    text = secret()
    with rigged(keys_config(f"name: few, secret: {text}, models: [m, a/m]")) as rig:
        header = carried(carrier, text)
        for endpoint in ENDPOINTS.values():
            for prefix in (*PREFIXES, f"{PROVIDERS}a/v1"):
                rig.fresh()
                assert _asked(rig.gateway, prefix, endpoint, "m", header).status != 403, (prefix, endpoint.path)
                assert len(rig.a.received) == 1, (prefix, endpoint.path)
                for model in ("upstream-private-a", "a/upstream-private-a", "tuned", "M", "m ", "alias"):
                    reply = _asked(rig.gateway, prefix, endpoint, model, header)
                    assert reply.status in (400, 403), (prefix, endpoint.path, model)
                assert len(rig.a.received) == 1, (prefix, endpoint.path)
            for model in ("tuned", "a/tuned", "alias"):
                reply = _asked(rig.gateway, f"{DEPLOYMENTS}{model}", endpoint, "m", header)
                assert reply.status == 403, (endpoint.path, model)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_anthropics_routes_ask_for_the_model(carrier: str) -> None:
    """So do those of Anthropic's API, counts of tokens among them."""
    text = secret()
    with rigged(keys_config(f"name: few, secret: {text}, models: [m, a/m]")) as rig:
        header = carried(carrier, text)
        for path in ANTHROPIC_ENDPOINTS:
            for prefix in ("/v1", f"{PROVIDERS}a/v1"):
                rig.fresh()
                asked = chat_body("m", max_tokens=9)
                assert rig.gateway.post(prefix + path, asked, [header]).status != 403, (prefix, path)
                for model in ("upstream-private-a", "a/upstream-private-a", "tuned", "M", "m ", "alias"):
                    reply = rig.gateway.post(prefix + path, chat_body(model, max_tokens=9), [header])
                    assert reply.status in (400, 403), (prefix, path, model)


def test_every_carrier_counts() -> None:
    """One key has one limit, however it is carried and by whatever route."""
    text = secret()
    with rigged(keys_config(f"name: {unique('slow')}, secret: {text}, limits: {{requests: 3/day}}")) as rig:
        paths = ("/v1", "/openai/v1", f"{PROVIDERS}a/v1")
        served = [
            rig.gateway.post(f"{path}/chat/completions", chat_body("m"), [carried(carrier, text)]).status
            for path in paths
            for carrier in CARRIERS
        ]
        assert sorted(served) == [200] * 3 + [429] * 6


def test_every_service_is_asked_here() -> None:
    """The routes above are all there are: a new service has to stand in the matrix."""
    assert {endpoint.service for endpoint in ENDPOINTS.values()} == {*Service}
