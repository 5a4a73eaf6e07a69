"""Who may be on a private network, by what the file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.registry.support import errors_of, load_text

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ("type: openai, api_key: k", False),
        ("type: openai, api_key: k, allow_private_network: true", True),
        ("type: openai_compatible, base_url: 'https://api.example.com/v1'", False),
        ("type: openai_compatible, base_url: 'http://llm.internal/v1'", False),
        ("type: openai_compatible, base_url: 'http://127.1/v1'", False),
        ("type: openai_compatible, base_url: 'http://2130706433/v1'", False),
        ("type: openai_compatible, base_url: 'http://8.8.8.8/v1'", False),
        ("type: openai_compatible, base_url: 'http://localhost:9000/v1'", True),
        ("type: openai_compatible, base_url: 'http://10.1.2.3:9000/v1'", True),
        ("type: openai_compatible, base_url: 'http://[::1]:9000/v1'", True),
        ("type: openai_compatible, base_url: '${HERE}'", True),
        ("type: openai_compatible, base_url: 'http://127.0.0.1/v1', allow_private_network: false", False),
        ("type: ollama", True),
        ("type: ollama, base_url: 'http://gpu.internal:11434'", True),
        ("type: ollama, allow_private_network: false", False),
    ],
)
def test_private_networks_are_for_those_who_say_so(tmp_path: Path, settings: str, allowed: bool) -> None:
    """Local types and addresses written as private ones may be on private networks; a name may if the file says so."""
    text = f"providers: {{p: {{{settings}, models: [m]}}}}\n"
    loaded = load_text(tmp_path, text, {"HERE": "http://127.0.0.1:9/v1"})
    assert loaded.snapshot.providers["p"].allow_private_network is allowed


@pytest.mark.parametrize("host", ["169.254.169.254", "168.63.129.16", "[fe80::1]", "0.0.0.0", "[::ffff:a9fe:a9fe]"])
def test_a_metadata_address_is_a_mistake(tmp_path: Path, host: str) -> None:
    """An address that nothing may connect to is refused where it is written."""
    text = f"providers:\n  p:\n    type: vllm\n    base_url: http://{host}/v1\n"
    [line] = errors_of(tmp_path, text)
    assert line.startswith("gateway.yaml:4:15: ")
    assert "metadata service" in line


@pytest.mark.parametrize(
    ("alerts", "allowed"),
    [
        ("webhook: 'https://hooks.example/T0'", False),
        ("webhook: 'http://127.0.0.1:9/x?y=1'", True),
        ("webhook: 'http://alertmanager/x', allow_private_network: true", True),
        ("webhook: 'http://127.0.0.1:9/x', allow_private_network: false", False),
    ],
)
def test_the_webhook_is_checked_as_providers_are(tmp_path: Path, alerts: str, allowed: bool) -> None:
    """The same rule holds for the address that alerts are posted to."""
    loaded = load_text(tmp_path, f"providers: {{mock: {{type: mock}}}}\nalerts: {{{alerts}}}\n")
    assert loaded.snapshot.alerts.private_network is allowed
