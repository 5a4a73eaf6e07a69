"""What a configuration becomes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.registry import ConfigError, Defaults, load
from gateway.registry.snapshot import DYNAMIC_DEPLOYMENTS
from gateway.types import Price, PriceTier, RateLimit, Timeouts
from tests.registry.support import MOCK, load_text

if TYPE_CHECKING:
    from pathlib import Path


def test_a_provider_takes_its_types_defaults(tmp_path: Path) -> None:
    """What a provider does not say comes from its type and from the blueprint's defaults."""
    provider = load_text(tmp_path, "providers: {o: {type: openai, api_key: k}}").snapshot.providers["o"]
    assert provider.base_url == "https://api.openai.com/v1"
    assert provider.timeouts == Timeouts()
    assert (provider.retry_attempts, provider.retry_delay, provider.batch_size) == (3, 0.5, 2048)
    assert (provider.stream, provider.fetch_models, provider.allow_private_network) == (True, False, False)
    assert (provider.concurrency_limit, provider.requests, provider.tokens) == (None, None, None)


def test_a_provider_takes_what_the_file_says(tmp_path: Path) -> None:
    """Every runtime setting reaches the provider, in its own unit."""
    text = (
        "providers:\n  w:\n    type: watsonx\n    api_key: [a, b]\n    api_url: https://eu-de.ml.cloud.ibm.com/\n"
        "    project_id: p\n    timeout: {connect: 500ms, total: 10m}\n    retry_attempts: 0\n    retry_delay: 100ms\n"
        "    rate_limit: {requests: {rate: 60/min, burst: 5}, tokens: 200k/min}\n    concurrency_limit: 7\n"
        "    headers: {X-Team: a}\n    engine: httpx2\n    stream: false\n    status: testing\n"
    )
    provider = load_text(tmp_path, text).snapshot.providers["w"]
    assert provider.api_keys == ("a", "b")
    assert provider.base_url == "https://eu-de.ml.cloud.ibm.com"
    assert provider.options == {"api_url": "https://eu-de.ml.cloud.ibm.com", "project_id": "p"}
    assert provider.timeouts == Timeouts(connect=0.5, total=600)
    assert (provider.requests, provider.tokens) == (RateLimit(60, 60, 5), RateLimit(200_000, 60))
    assert (provider.retry_attempts, provider.retry_delay, provider.concurrency_limit) == (0, 0.1, 7)
    assert provider.headers == (("x-team", "a"),)
    assert (provider.engine, provider.stream, provider.status) == ("httpx2", False, "testing")
    assert "'a'" not in repr(provider)


def test_base_urls_that_depend_on_settings(tmp_path: Path) -> None:
    """Regions, resources and local servers without a path give the right address."""
    text = (
        "providers:\n  a: {type: azure, api_key: k, resource: res}\n"
        "  v: {type: vertex, project: p, location: global, access_token: t}\n"
        "  b: {type: bedrock, region: eu-west-1, api_key: k}\n  o: {type: ollama, base_url: 'http://h:1/'}\n"
        "  c: {type: custom, base_url: 'http://h:1/'}\n"
    )
    providers = load_text(tmp_path, text).snapshot.providers
    assert [provider.base_url for provider in providers.values()] == [
        "https://res.openai.azure.com/openai/v1",
        "https://aiplatform.googleapis.com/v1beta1",
        "https://bedrock-runtime.eu-west-1.amazonaws.com",
        "http://h:1/v1",
        "http://h:1",
    ]
    assert providers["o"].allow_private_network
    assert providers["c"].type == "openai_compatible"


def test_capabilities_may_say_how_a_model_differs(tmp_path: Path) -> None:
    """Words are true or false, traits have their values; a model's own stand beside its provider's."""
    text = (
        "providers:\n  c:\n    type: custom\n    base_url: http://127.0.0.1:1/v1\n"
        "    capabilities: {vision: false, seed_name: none, n_max: 2}\n"
        "    models:\n      plain: {}\n      old: {capabilities: {chat: true, n_max: 1, tool_choice: [auto]}}\n"
        "      list: {capabilities: [embeddings]}\n"
    )
    found = load_text(tmp_path, text).snapshot.deployments
    assert found["c/plain"].capabilities == {"audio", "tools", "json_schema"}
    assert dict(found["c/plain"].traits) == {"seed_name": None, "n_max": 2}
    assert found["c/old"].capabilities == {"chat"}
    assert dict(found["c/old"].traits) == {"seed_name": None, "n_max": 1, "tool_choice": frozenset({"auto"})}
    assert found["c/list"].capabilities == {"embeddings"}
    assert found["c/list"].traits == found["c/plain"].traits


def test_capabilities_that_are_wrong(tmp_path: Path) -> None:
    """A slip of the pen is an error at its place."""
    text = "providers:\n  c: {type: mock, capabilities: {developper_role: false, n_max: 0, tool_choice: maybe}}\n"
    with pytest.raises(ConfigError) as wrong:
        load_text(tmp_path, text)
    told = str(wrong.value)
    assert "2:34: unknown key `developper_role`; did you mean `developer_role`?" in told
    assert "the value must be at least 1" in told
    assert "use one of auto, none, required, named, allowed_tools" in told


def test_environment_wide_defaults_apply_where_the_file_is_silent(tmp_path: Path) -> None:
    """Defaults that were passed in fill gaps, override nothing, and are part of the revision."""
    path = tmp_path / "gateway.yaml"
    path.write_text("providers: {a: {type: mock}, b: {type: mock, retry_attempts: 1, timeout: {first_byte: 2}}}")
    defaults = Defaults(retry_attempts=9, first_byte=30)
    snapshot = load(path, {}, defaults=defaults).snapshot
    found = [(provider.retry_attempts, provider.timeouts.first_byte) for provider in snapshot.providers.values()]
    assert found == [(9, 30), (1, 2)]
    assert snapshot.revision != load(path, {}).snapshot.revision


def test_models_are_listed_by_qualified_and_bare_name_in_file_order(tmp_path: Path) -> None:
    """Active providers share bare names; testing ones answer to their qualified name; inactive ones to none."""
    text = (
        "providers:\n  b: {type: mock, models: [m, n]}\n  a: {type: mock, models: {m: , o: {context_window: 128k}}}\n"
        "  t: {type: mock, status: testing, models: [m, t]}\n  i: {type: mock, status: inactive, models: [m, i]}\n"
    )
    snapshot = load_text(tmp_path, text).snapshot
    assert list(snapshot.deployments) == ["b/m", "b/n", "a/m", "a/o", "t/m", "t/t"]
    assert {name: [item.id for item in found] for name, found in snapshot.models.items()} == {
        "m": ["b/m", "a/m"],
        "n": ["b/n"],
        "o": ["a/o"],
    }
    assert snapshot.deployments["a/o"].context_window == 128_000
    assert snapshot.deployment_for("t", "t") is snapshot.deployments["t/t"]
    assert snapshot.deployment_for("i", "i") is None
    assert snapshot.deployment_for("b", "other") is None
    assert snapshot.deployment_for("nobody", "m") is None


def test_a_model_keeps_its_settings(tmp_path: Path) -> None:
    """Prices, parameters and capabilities reach the deployment; capabilities fall back to the provider's."""
    text = (
        "providers:\n  a:\n    type: mock\n    capabilities: chat\n    models:\n"
        "      m: {price: {input: 2.5, output: 10, cached_input: 1.25}, parameters: {temperature: 0.2, stop: [a]}}\n"
        "      n: {capabilities: [chat, tools], rate_limit: {requests: 60/min, tokens: 1k/s}, concurrency_limit: 4, "
        "max_output_tokens: 16k}\n      o: {rate_limit: 0.5}\n"
    )
    deployments = load_text(tmp_path, text).snapshot.deployments
    price = deployments["a/m"].price
    assert price is not None
    assert (price.input, price.output, price.cached_input, price.per_request) == (2.5, 10.0, 1.25, 0.0)
    assert deployments["a/m"].parameters == {"temperature": 0.2, "stop": ["a"]}
    assert deployments["a/m"].capabilities == {"chat"}
    assert deployments["a/n"].capabilities == {"chat", "tools"}
    limits = [(one.requests, one.tokens, one.concurrency_limit, one.max_output_tokens) for one in deployments.values()]
    assert limits == [
        (None, None, None, None),
        (RateLimit(60, 60), RateLimit(1000, 1), 4, 16_000),
        (RateLimit(1, 2), None, None, None),
    ]


def test_a_model_that_is_switched_off(tmp_path: Path) -> None:
    """A model with `status: inactive` serves nobody: not by its names, and not as a target; its route stays."""
    text = (
        "providers: {p: {type: ollama, models: {off: {status: inactive}, old: {status: deprecated}}}}\n"
        "routes:\n  - {name: r, match: {model: m}, targets: [{provider: p, model: off}, {provider: p, model: old}]}\n"
    )
    snapshot = load_text(tmp_path, text).snapshot
    assert list(snapshot.deployments) == ["p/old"]
    assert snapshot.deployment_for("p", "off") is None
    assert [target.deployment.id for target in snapshot.routes[0].targets] == ["p/old"]
    assert snapshot.routes[0].absent[0].reason == "inactive: this model is switched off"
    only = "providers: {p: {type: ollama, models: {off: {status: inactive}}}}\n"
    assert load_text(tmp_path, only).snapshot.deployment_for("p", "another") is None


def test_prices_reach_the_deployment(tmp_path: Path) -> None:
    """Every amount is kept, tiers by size with the base prices where they name none; the version tells the content."""
    text = (
        "providers:\n  a:\n    type: mock\n    models:\n"
        "      m:\n        price: {input: 2.5, output: 10, cached_input: 0.25, cache_write: 3, reasoning: 12, "
        "audio_input: 40,\n          audio_output: 80, per_request: 0.01, per_unit: 0.0001,\n"
        "          tiers: [{above: 500k, input: 7}, {above: 200000, input: 5, output: 15, cached_input: 0.5}]}\n"
        "      same: {price: {output: 1, input: 2}}\n      again: {price: {input: 2.0, output: 1}}\n"
        "      other: {price: {input: 2, output: 1.5}}\n      sold: {price: {per_unit: 0.04}}\n"
    )
    deployments = load_text(tmp_path, text).snapshot.deployments
    price = deployments["a/m"].price
    assert price is not None
    tiers = (PriceTier(200_000, 5.0, 15.0, cached_input=0.5), PriceTier(500_000, 7.0, 10.0))
    assert replace(price, version="") == Price(2.5, 10.0, 0.25, 3.0, 12.0, 0.01, 40.0, 80.0, 0.0001, tiers, "")
    versions = [one.price.version for one in deployments.values() if one.price is not None]
    assert all(re.fullmatch(r"config:[0-9a-f]{8}", one) for one in versions)
    assert versions[1] == versions[2]
    assert len(set(versions)) == 4


def test_prices_of_tiers_of_service(tmp_path: Path) -> None:
    """Each is a whole price: what it does not name is the price's own, sizes of input as well as rates."""
    own_price = "input: 2, output: 8, cached_input: 0.5, per_request: 0.01, tiers: [{above: 200k, input: 4}]"
    text = (
        "providers:\n  a:\n    type: mock\n    models:\n"
        f"      n: {{price: {{{own_price}}}}}\n"
        f"      m: {{price: {{{own_price}, service_tiers: {{flex: {{input: 1}},\n"
        "        priority: {output: 16, cached_input: 1, tiers: [{above: 100k, output: 20}]}}}}\n"
    )
    deployments = load_text(tmp_path, text).snapshot.deployments
    price, plain = deployments["a/m"].price, deployments["a/n"].price
    assert price is not None
    assert plain is not None
    own = (PriceTier(200_000, 4.0, 8.0),)
    assert replace(price, version="", service_tiers={}) == replace(plain, version="")
    assert price.service_tiers == {
        "flex": Price(1.0, 8.0, 0.5, per_request=0.01, tiers=own),
        "priority": Price(2.0, 16.0, 1.0, per_request=0.01, tiers=(PriceTier(100_000, 2.0, 20.0),)),
    }
    assert price.version != plain.version


def test_deployments_made_on_demand_are_kept_and_bounded() -> None:
    """A provider that lists no models serves any, always by the same object, without growing for ever."""
    snapshot = load(None, {"OPENAI_API_KEY": "k"}).snapshot
    first = snapshot.deployment_for("openai", "gpt-x")
    assert first is not None
    assert first.id == "openai/gpt-x"
    assert snapshot.deployment_for("openai", "gpt-x") is first
    for number in range(DYNAMIC_DEPLOYMENTS):
        assert snapshot.deployment_for("openai", f"m{number}") is not None
    assert len(snapshot._dynamic) == DYNAMIC_DEPLOYMENTS
    assert "openai/gpt-x" not in snapshot.deployments


def test_routes_keep_file_order_and_all_their_settings(tmp_path: Path) -> None:
    """A route's conditions, strategy, weights and failures arrive as written."""
    text = MOCK + (
        "routes:\n  - name: a\n"
        "    match: {model: 'gpt*', service: [chat, embeddings], headers: {X-Tier: gold}, stream: yes}\n"
        "    strategy: weighted\n    targets: [{provider: mock, model: mock-small, weight: 3}]\n"
        "    fallback_on: timeout\n    max_attempts: 2\n    max_output_tokens: 4k\n"
        "  - {name: b, match: {model: x, service: chat}, targets: [{provider: mock, model: mock-small}]}\n"
    )
    first, second = load_text(tmp_path, text).snapshot.routes
    assert (first.name, second.name) == ("a", "b")
    assert first.match.services == {"chat", "embeddings"}
    assert first.match.headers == {"x-tier": "gold"}
    assert (first.match.models, first.match.stream, first.strategy) == (("gpt*",), True, "weighted")
    assert [(target.deployment.id, target.weight) for target in first.targets] == [("mock/mock-small", 3)]
    assert (set(first.fallback_on), first.max_attempts, first.max_output_tokens) == ({"timeout"}, 2, 4000)
    assert (set(second.fallback_on), second.max_attempts, second.strategy) == (
        {"error", "timeout", "rate_limit", "auth"},
        4,
        "priority",
    )
    assert second.max_output_tokens is None


def test_a_route_without_any_active_target_stays_and_is_told(tmp_path: Path) -> None:
    """It still matches, so its requests are refused rather than sent elsewhere."""
    text = (
        "providers: {m: {type: mock}, t: {type: mock, status: testing}}\n"
        "routes: [{name: r, match: {model: x}, targets: [{provider: t, model: y}]}]\n"
    )
    snapshot = load_text(tmp_path, text).snapshot
    assert snapshot.routes[0].targets == ()
    assert snapshot.warnings == ("route `r` has no target at an active provider; what it matches is refused",)


def test_the_revision_follows_content_order_and_secrets(tmp_path: Path) -> None:
    """The same file and environment give the same revision; a new secret or another order gives another."""
    text = "providers:\n  a: {type: openai, api_key: '${K}'}\n  b: {type: mock}\n"
    first = load_text(tmp_path, text, {"K": "1", "OTHER": "x"}).snapshot.revision
    assert load_text(tmp_path, text + "# comment\n", {"K": "1"}).snapshot.revision == first
    assert load_text(tmp_path, text, {"K": "2"}).snapshot.revision != first
    swapped = "providers:\n  b: {type: mock}\n  a: {type: openai, api_key: '${K}'}\n"
    assert load_text(tmp_path, swapped, {"K": "1"}).snapshot.revision != first


def test_types_without_a_dialect_are_inactive_and_told(tmp_path: Path) -> None:
    """A configuration may name types that this version does not speak yet; external dialects are accepted."""
    text = "providers: {m: {type: mock}, g: {type: gemini, api_key: k, models: [x]}, e: {type: extra, base_url: 'http://h'}}"
    snapshot = load_text(tmp_path, text, dialects=frozenset({"mock", "extra"})).snapshot
    assert snapshot.warnings == ("provider `g` is inactive: type `gemini` is not served by this version",)
    assert [provider.status for provider in snapshot.providers.values()] == ["active", "inactive", "active"]
    assert "x" not in snapshot.models


def test_without_a_file_the_mock_and_the_providers_of_the_environment_are_served() -> None:
    """The built-in default is open, has the mock's models, and every provider whose key is set."""
    snapshot = load(None, {"GROQ_API_KEY": "g", "HF_TOKEN": "h", "OPENAI_API_KEY": ""}).snapshot
    assert list(snapshot.providers) == ["groq", "huggingface", "mock"]
    assert list(snapshot.models) == ["mock-small", "mock-large", "mock-embed"]
    assert snapshot.open_mode
    assert snapshot.warnings == ()


def test_headings_without_content_count_as_absent(tmp_path: Path) -> None:
    """A list whose entries are all commented out is empty."""
    assert load_text(tmp_path, MOCK + "routes:\n#  - name: x\nkeys:\n").snapshot.routes == ()


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    """Shared settings are written once; a provider's own settings win."""
    text = (
        "providers:\n  a: &base {type: mock, retry_attempts: 1, batch_size: 5}\n"
        "  b: {<<: *base, retry_attempts: 2}\n  c: {<<: [*base, {stream: false}]}\n"
    )
    providers = load_text(tmp_path, text).snapshot.providers
    found = [(provider.retry_attempts, provider.batch_size, provider.stream) for provider in providers.values()]
    assert found == [(1, 5, True), (2, 5, True), (1, 5, False)]


def test_toml_gives_the_same_snapshot(tmp_path: Path) -> None:
    """The same keys in TOML give the same revision."""
    yaml = load_text(tmp_path, "version: 1\nproviders:\n  m: {type: mock, models: [a], timeout: 1.5}\n")
    toml = load_text(
        tmp_path, "version = 1\n[providers.m]\ntype = 'mock'\nmodels = ['a']\ntimeout = 1.5\n", name="gateway.toml"
    )
    assert yaml.snapshot.revision == toml.snapshot.revision
