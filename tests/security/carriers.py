"""How a key is carried, and every path that takes JSON."""

from __future__ import annotations

from gateway.http.routes import DEPLOYMENTS, ENDPOINTS, PREFIXES, PROVIDERS
from tests.support.rig import PRIVATE_MODEL

CARRIERS = ("bearer", "x-api-key", "api-key")


def carried(carrier: str, text: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {text}") if carrier == "bearer" else (carrier, text)


JSON_PATHS = [
    path + endpoint.path
    for endpoint in ENDPOINTS.values()
    for path in (*PREFIXES, f"{DEPLOYMENTS}{PRIVATE_MODEL}", f"{PROVIDERS}a/v1")
    if endpoint.json
]
