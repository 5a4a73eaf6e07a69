"""Names that turn from public to private between two questions (TTL 0): a real gateway asks a real DNS server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.security.rebinding import PRIVATE

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rebinding")]
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--net"]


def namespaces() -> bool:
    """Whether this system lets us have a network of our own."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    tried = subprocess.run([*NAMESPACES, "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if not namespaces():
        pytest.skip("needs unshare, ip, and a kernel that gives user namespaces")
    command = [*NAMESPACES, sys.executable, "-m", "tests.security.rebinding", str(tmp_path_factory.mktemp("net"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_private_is_connected_to(found: Any) -> None:
    """By calls, tests, health checks, discovery, pictures and the alerts' webhook: not one connection."""
    assert found["questions"] > 50
    assert found["connections"] == []
    assert found["literal"] == 422


@pytest.mark.parametrize("address", PRIVATE)
def test_what_has_turned_is_refused(found: Any, address: str) -> None:
    """It served while it was public; then every way to it fails, also when one of two addresses is private."""
    ways = found["ways"][address]
    assert ways["before"] is True
    assert ways["call"] == [502, "upstream_unreachable"]
    assert ways["looks"] == [[False, "resolve"]] * 2
    assert (ways["discover"], ways["both"]) == (502, 502)
    # Resolved once, and connected to what was looked at. Of two families the second may see the name turned.
    assert ways["between"] == ([502, 502] if ":" in address else [200, 502])
    assert found["pictures"][address] == [400, "messages[0].content[0].image_url.url"]
