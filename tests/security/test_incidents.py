"""Incidents of other gateways, by what caused them: each is shown not to happen here.

Those that tests in other files show stand in `ELSEWHERE`, so that the whole list is in one place.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
from pathlib import Path

import pytest

from gateway.registry.loader import load
from gateway.registry.problems import ConfigError
from tests.security.carriers import CARRIERS, INJECTIONS, JSON_PATHS, carried
from tests.support.rig import Rig, chat_body, keys_config, rigged, secret

ELSEWHERE = {
    "CVE-2026-35030: keys cached by their first characters": "auth.test_store:"
    "test_tokens_with_a_common_start_stay_apart",
    "CVE-2026-47102: a stolen hash used as a password": "auth.test_store:test_a_stolen_digest_opens_nothing",
    "CVE-2026-48710, CVE-2026-49468: Host opens the control plane": "security.test_administration:"
    "test_host_opens_no_route_of_the_control_plane",
    "CVE-2026-35029, CVE-2026-47101: routes without a role": "http.admin.test_access:"
    "test_every_route_asks_for_its_role",
    "CVE-2026-47101: callers choose their role": "auth.test_users:test_nobody_rises_above_themselves",
    "CVE-2026-47102: a hash opens the control plane": "http.admin.test_access:test_nobody_else_is_let_in",
    "CVE-2026-42208, CVE-2024-5225: SQL in a filter": "security.test_commands:test_no_filter_of_the_commands_is_sql",
    "CVE-2026-42208: SQL in inputs of the control plane": "security.test_administration:"
    "test_no_text_is_a_credential_or_a_filter",
    "CVE-2024-6587, PYSEC-2026-4070, CVE-2025-66405: the client names the destination": "security.test_destinations:"
    "test_no_field_chooses_the_destination",
    "CVE-2026-110719: a header names the host": "security.test_destinations:test_no_header_chooses_the_destination",
    "CVE-2025-59146, -62155, CVE-2026-42339, -33655: what clients name is fetched": "security.test_destinations:"
    "test_no_address_of_a_client_is_fetched",
    "CVE-2026-45339: a carrier without limits": "security.test_access_matrix:test_every_carrier_counts",
    "CVE-2026-44563: routes without the list of models": "security.test_access_matrix:"
    "test_every_route_asks_for_the_model",
    "Bifrost #3954, CVE-2025-0330: secrets in answers": "security.test_leaks:test_no_secret_comes_back",
    "CVE-2024-9606: secrets of the control plane": "security.test_administration:test_no_secret_is_told",
    "CVE-2024-9606: secrets in logs": "telemetry.test_access_log:test_secrets_never_appear",
    "CVE-2024-8984: boundaries that take long to find": "security.test_growth:test_a_boundary_is_found_in_one_pass",
    "CVE-2025-62727: Range": "security.test_growth:test_ranges_are_nobodys_work",
    "CVE-2026-71479, CVE-2026-64865: numbers as credit": "security.test_amounts:test_no_number_of_a_client_is_credit",
    "CVE-2026-71479, CVE-2026-64865: quotas as credit": "security.test_administration:test_no_number_is_credit",
    "CVE-2025-59146, -62155: incomplete filters of addresses": "test_addresses:test_there_are_many_vectors",
    "CVE-2025-59146, -62155: names that change their address": "upstream.engines.test_addresses:"
    "test_a_rebinding_name_gets_no_connection",
    "LiteLLM #34732, #40095: budgets that are looked at, then used": "endurance.test_races:test_exactly_ten",
    "LiteLLM #27381: a repeated id is a free call": "http.test_api_quotas:test_a_repeated_request_id_is_no_free_call",
    "LiteLLM #13245, #36008, #37140: who leaves pays nothing": "endurance.test_disconnects:test_clients_that_leave",
    "LiteLLM #20256: slots that nobody gives back": "limits.test_reaper:test_killed",
    "new-api #4429: charges that a crash leaves behind": "endurance.test_killed_workers:"
    "test_kill_9_of_workers_under_streaming_load",
    "LiteLLM #14457, #35524: a model without a price is free": "http.test_api_quotas:"
    "test_an_unpriced_model_is_not_free",
}


@pytest.mark.parametrize("incident", ELSEWHERE)
def test_the_list_of_incidents_is_true(incident: str) -> None:
    """What is said to be shown elsewhere is a test that exists."""
    module, _, name = ELSEWHERE[incident].partition(":")
    assert callable(getattr(importlib.import_module(f"tests.{module}"), name))


# ---- CVE-2026-48710, CVE-2026-49468: authorised by a URL that Host had a part in


@pytest.mark.parametrize("host", ["h/?", "h/#", "h/#@x", "127.0.0.1/healthz?", "h/metrics#", "localhost/healthz;"])
def test_host_opens_no_route(rig: Rig, host: str) -> None:
    """Without a key no route of the API is open, whatever Host makes of its URL."""
    for path in (*JSON_PATHS, "/v1/audio/transcriptions"):
        assert rig.gateway.post(path, chat_body("m"), [("host", host)]).status in (400, 401), path
    for path in ("/v1/models", "/v1/models/m", "/openai/models", "/providers/a/v1/models"):
        assert rig.gateway.get(path, [("host", host)]).status in (400, 401), path
    assert not rig.a.received


@pytest.mark.parametrize(
    "path", ["/healthz/../v1/models", "//v1/models", "/v1/models?x=/healthz", "/metrics/../v1/models"]
)
def test_no_spelling_of_a_path_is_exempt(rig: Rig, path: str) -> None:
    """A path is what stands in the request: one that looks like an open one is not taken for it."""
    assert rig.gateway.get(path).status in (400, 401, 404)


# ---- CVE-2026-42208, CVE-2024-5225: SQL in the credential


@pytest.mark.parametrize("carrier", CARRIERS)
def test_no_text_is_a_key(rig: Rig, carrier: str, token: str) -> None:
    """Payloads of injections are wrong keys, in every header that carries one; also beside a right key's start."""
    for text in (*INJECTIONS, token[:20] + "' OR '1'='1", f"{token}'--", hashlib.sha256(token.encode()).hexdigest()):
        reply = rig.gateway.chat("m", [carried(carrier, text)])
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key"), text
    assert not rig.a.received


# ---- CVE-2026-35030, CVE-2026-47102: keys of the file, too


def test_keys_with_a_common_start_stay_apart() -> None:
    """Two secrets that differ in their last character are two keys, each with its own models."""
    start = secret()
    with rigged(
        keys_config(f"name: one, secret: {start}1, models: m", f"name: two, secret: {start}2, models: alias")
    ) as rig:
        for text, allowed, refused in ((f"{start}1", "m", "alias"), (f"{start}2", "alias", "m")):
            for _ in range(2):  # known or not
                assert rig.gateway.chat(allowed, [carried("bearer", text)]).status == 200
                assert rig.gateway.chat(refused, [carried("bearer", text)]).status == 403
        assert rig.gateway.chat("m", [carried("bearer", start)]).status == 401


# ---- CVE-2026-42271, CVE-2026-40217: code that configuration or requests can reach


FORBIDDEN = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "jinja2", "mako", "yaml", "code", "pty"}
MAY_SPAWN = {"auth/boot.py", "storage/embedded.py", "usage/prices.py", "storage/guard.py"}


def test_no_code_is_made_of_data() -> None:
    """Nothing evaluates text, unpickles or renders templates; processes are started in a few places, of our own."""
    root = Path(__file__).parents[2] / "gateway"
    spawning = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in FORBIDDEN, f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in {"popen", "create_subprocess_shell"}, f"{path}:{node.lineno}"
                called = f"{getattr(node.func.value, 'id', '')}.{node.func.attr}"
                assert called != "os.system", f"{path}:{node.lineno}"
                assert not any(word.arg == "shell" for word in node.keywords), f"{path}:{node.lineno}"
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            tops = {name.partition(".")[0] for name in names}
            assert not tops & FORBIDDEN_MODULES, f"{path}: {tops}"
            if "subprocess" in tops:
                spawning.add(path.relative_to(root).as_posix())
    assert spawning <= MAY_SPAWN


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "!!python/name:os.system",
        "!!binary aGk=",
        "!include /etc/passwd",
    ],
)
def test_no_tag_of_yaml_makes_an_object(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration is data: every tag is refused, with its place."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(f"providers: {{a: {{type: mock, headers: {{x: {text}}}}}}}\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:1:\d+: "):
        load(tmp_path / "c.yaml", {})
    assert not (tmp_path / "pwned").exists()
