"""How a key is carried, every path that takes JSON, and texts that are taken for code elsewhere."""

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
INJECTIONS = (
    "' OR '1'='1",
    "'; DROP TABLE virtual_keys; --",
    '" OR ""="',
    "1) UNION SELECT digest FROM virtual_keys--",
    "%",
    "_%",
    "\\",
    "${jndi:ldap://127.0.0.1/x}",
    "{{7*7}}",
    "*",
)
