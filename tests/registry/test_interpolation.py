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


@pytest.mark.parametrize(
    ("provider", "lacking"),
    [
        ("{type: openai_compatible, api_key: '${K}', models: [a]}", "`base_url`"),
        ("{type: bedrock, access_key_id: '${I}', secret_access_key: '${S}'}", "`region`, or `base_url`"),
        ("{type: bedrock, region: eu-west-1, access_key_id: '${I}'}", "`secret_access_key`, or `api_key`"),
        ("{type: azure, api_key: ['${K}', '${L}']}", "`resource`, or `base_url`"),
    ],
)
def test_an_unset_variable_stands_for_its_own_setting_alone(provider: str, lacking: str, tmp_path: Path) -> None:
    """What a provider needs beside it is asked for whether the variable is set or not."""
    text = f"providers:\n  a: {provider}\n"
    unset, given = errors_of(tmp_path, text), errors_of(tmp_path, text, dict.fromkeys("KLIS", "x"))
    assert unset == given
    assert f"needs {lacking} (add it)" in unset[0].replace("`access_key_id` and ", "")


def test_a_key_needs_a_secret_whatever_else_is_unset(tmp_path: Path) -> None:
    """An unset team does not hide that a key has no secret."""
    text = MOCK + "keys: [{name: k, team: '${T}'}]\n"
    assert errors_of(tmp_path, text) == ["gateway.yaml:2:8: a key needs `secret` or `secret_hash` (add one of them)"]


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


CONDITIONS = {
    "team": "team: '${X:-}'",
    "key": "key: '${X:-}'",
    "group": "group: '${X:-}'",
    "groups": "group: ['${X:-}', '${Y:-}']",
    "service": "service: ['${X:-}']",
    "headers": "headers: {x-tier: '${X:-}', x-other: a}",
    "capabilities": "capabilities: [vision, '${X:-}']",
    "context": "context: {above: 5, up_to: '${X:-}'}",
    "stream": "stream: '${X:-}'",
}


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)
def test_a_condition_does_not_go_by_being_empty(condition: str, tmp_path: Path) -> None:
    """A route of which a condition comes out empty is refused, for it would be for more than is written."""
    text = MOCK + "routes:\n- {name: r, match: {model: chat, " + condition + "}, targets: "
    text += "[{provider: mock, model: mock-small}]}\n"
    told = errors_of(tmp_path, text)
    assert any("this is empty, and a route without this condition is for more requests" in line for line in told)


def test_a_condition_on_the_model_does_not_go_by_being_empty(tmp_path: Path) -> None:
    """The model is a condition like the others, also where another one remains."""
    for model in ("'${X:-}'", "['${X:-}']"):
        text = MOCK + f"routes: [{{name: r, match: {{service: chat, model: {model}}}, targets: "
        told = errors_of(tmp_path, text + "[{provider: mock, model: mock-small}]}]\n")
        assert any("a route without this condition is for more requests" in line for line in told)


def test_one_of_several_words_may_be_empty(tmp_path: Path) -> None:
    """Where any of a list may fit, one that is left out lets nothing more through."""
    text = MOCK + "routes: [{name: r, match: {model: [a, '${X:-}'], group: [staff, '${X:-}']}, targets: "
    match = load_text(tmp_path, text + "[{provider: mock, model: mock-small}]}]\n").snapshot.routes[0].match
    assert (match.models, match.groups) == (("a",), frozenset({"staff"}))


@pytest.mark.parametrize(
    ("rest", "without"),
    [
        (f"keys: [{{name: k, secret: {SECRET}, expires: '${{X:-}}'}}]", "a key without `expires` never ends"),
        (
            f"keys: [{{name: k, secret: {SECRET}, team: '${{X:-}}'}}]",
            "a key without `team` is held to no team's limits",
        ),
        (
            "limits: [{name: l, scope: team, only: '${X:-}', requests: 1/s}]",
            "a limit without `only` is for all members of its scope",
        ),
        (
            "routes: [{name: r, default: on, min_quality: '${X:-}', targets: [{provider: mock, model: m}]}]",
            "a route without `min_quality` takes every target",
        ),
    ],
)
def test_what_narrows_does_not_go_by_being_empty(rest: str, without: str, tmp_path: Path) -> None:
    """An end, a team, a mark or the members of a limit that come out empty are refused at their place."""
    (line,) = errors_of(tmp_path, "providers: {mock: {type: mock}}\n" + rest + "\n")
    assert line.startswith("gateway.yaml:2:")
    assert line.endswith(f"this is empty, and {without} (give it a value, or remove the setting)")
