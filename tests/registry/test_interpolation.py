"""`${VAR}` in configuration files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.registry.support import MOCK, errors_of, load_text

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s" * 40


def test_variables_and_defaults_are_filled_in(tmp_path: Path) -> None:
    """References may stand alone or inside text, with defaults, several in one scalar."""
    text = (
        "providers:\n  a:\n    type: custom\n    base_url: http://${HOST}:${PORT:-8000}/${PATH_:-v1}\n"
        "    api_key: ${KEY}\n    retry_attempts: ${RETRIES}\n    stream: ${STREAM:-no}\n    rate_limit: ${RATE}\n"
        "    timeout: ${TIMEOUT:-90s}\n    headers: {x-a: '$${HOST} ${HOST}'}\n"
    )
    env = {"HOST": "llm.test", "KEY": "k1", "RETRIES": "7", "RATE": "2.5"}
    provider = load_text(tmp_path, text, env).snapshot.providers["a"]
    assert provider.base_url == "http://llm.test:8000/v1"
    assert provider.api_keys == ("k1",)
    assert (provider.retry_attempts, provider.stream) == (7, False)
    assert provider.requests is not None
    assert (provider.requests.count, provider.requests.period) == (5, 2.0)
    assert provider.timeouts.first_byte == 90.0
    assert provider.headers == (("x-a", "${HOST} llm.test"),)


def test_values_are_not_parsed_again(tmp_path: Path) -> None:
    """A variable's value cannot add keys, references or YAML of its own."""
    text = "providers:\n  a: {type: openai, api_key: '${K}'}\n"
    assert load_text(tmp_path, text, {"K": "x,y:{z}"}).snapshot.providers["a"].api_keys == ("x,y:{z}",)
    assert load_text(tmp_path, text, {"K": "${OTHER}", "OTHER": "no"}).snapshot.providers["a"].api_keys == ("${OTHER}",)


def test_a_provider_with_an_unset_variable_is_inactive_and_says_so(tmp_path: Path) -> None:
    """An unset or empty variable takes its provider out of service with a warning, and its routes keep the rest."""
    text = (
        "providers:\n  a: {type: openai, api_key: '${A_KEY}', models: [m]}\n"
        "  b: {type: openai, api_key: k, models: [m]}\n"
        "routes: [{name: r, match: {model: x}, targets: [{provider: a, model: m}, {provider: b, model: m}]}]\n"
    )
    for env in ({}, {"A_KEY": ""}):
        snapshot = load_text(tmp_path, text, env).snapshot
        assert snapshot.warnings == ("provider `a` is inactive: A_KEY is not set",)
        assert snapshot.providers["a"].status == "inactive"
        assert list(snapshot.deployments) == ["b/m"]
        assert [target.deployment.id for target in snapshot.routes[0].targets] == ["b/m"]
        assert snapshot.deployment_for("a", "m") is None


def test_unset_variables_do_not_hide_other_mistakes(tmp_path: Path) -> None:
    """An inactive provider is still checked, apart from what its unset variables would have given."""
    text = "providers:\n  a: {type: azure, api_key: '${K}', resource: '${R}', statsu: active}\n"
    assert errors_of(tmp_path, text) == ["gateway.yaml:2:55: unknown key `statsu`; did you mean `status`?"]


def test_a_key_with_an_unset_variable_is_inactive_and_keeps_the_gateway_closed(tmp_path: Path) -> None:
    """A key without its secret admits nobody, and does not make the gateway open."""
    text = MOCK + "keys: [{name: ci, secret: '${CI_KEY}'}]\n"
    snapshot = load_text(tmp_path, text).snapshot
    assert snapshot.warnings == ("key `ci` is inactive: CI_KEY is not set",)
    assert not snapshot.open_mode
    assert not snapshot.keys
    assert not snapshot.virtual_keys["ci"].active
    assert len(load_text(tmp_path, text, {"CI_KEY": SECRET}).snapshot.keys) == 1


def test_an_unset_variable_elsewhere_is_an_error(tmp_path: Path) -> None:
    """Routes, teams and limits cannot be inactive: their variables must be set or have defaults."""
    text = MOCK + "limits: [{name: all, scope: global, requests: '${RATE}'}]\n"
    assert errors_of(tmp_path, text) == [
        "gateway.yaml:2:47: the variable RATE is not set (set it, or write a default: ${RATE:-value})"
    ]


def test_an_empty_default_leaves_the_setting_out(tmp_path: Path) -> None:
    """`${X:-}` is as if the setting were not written, in mappings and in lists."""
    text = "providers:\n  a: {type: openai, api_key: ['${K}', '${K2:-}'], org_id: '${ORG:-}'}\n"
    provider = load_text(tmp_path, text, {"K": "k"}).snapshot.providers["a"]
    assert provider.api_keys == ("k",)
    assert "org_id" not in provider.options


def test_a_variable_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    """A value that is not UTF-8 is refused instead of failing later."""
    text = "providers:\n  a: {type: openai, api_key: '${K}'}\n"
    assert errors_of(tmp_path, text, {"K": "\udcff"})[0].startswith(
        "gateway.yaml:2:30: the variable K does not hold UTF-8 text"
    )


@pytest.mark.parametrize("value", ["'${X:-}'", "['${X:-}']", "['${X:-}', '${Y:-}']"])
@pytest.mark.parametrize("name", ["models", "services"])
def test_an_access_list_does_not_open_by_being_empty(name: str, value: str, tmp_path: Path) -> None:
    """A key whose list of models or services comes out empty is refused, for it would allow everything."""
    text = f"providers: {{m: {{type: mock}}}}\nkeys: [{{name: k, secret: {'s' * 32}, {name}: {value}}}]\n"
    assert any(f"a key without `{name}` may use all of them" in error for error in errors_of(tmp_path, text))
    load_text(tmp_path, text, {"X": "chat"})  # raises nothing
