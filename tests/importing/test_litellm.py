"""LiteLLM's `config.yaml`, said in ours."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from gateway.registry.problems import ConfigError

from .conftest import Import
from .texts import AZURE, CLAUDE, LOCAL, OPENAI, models, route


class TestDeployments:
    def test_a_group_of_two(self, take: Import) -> None:
        """Each account is a provider with its models; the group is a route that divides by the rates."""
        found = take(models(AZURE, OPENAI)).document
        assert found["providers"] == {
            "azure": {
                "type": "azure",
                "resource": "my-resource",
                "api_version": "2024-10-21",
                "api_key": "${AZURE_KEY_EU}",
                "models": {"gpt-4o-eu": {"rate_limit": {"requests": "6/min", "tokens": "100000/min"}}},
            },
            "openai": {
                "type": "openai",
                "api_key": "${OPENAI_API_KEY}",
                "models": {
                    "gpt-4o": {
                        "context_window": 128000,
                        "rate_limit": {"requests": "12/min"},
                        "price": {"input": 2.5, "output": 10},
                        "parameters": {"temperature": 0.2},
                    }
                },
            },
        }
        assert found["routes"] == [
            {
                "name": "gpt-4o",
                "match": {"model": "gpt-4o"},
                "strategy": "weighted",
                "targets": [
                    {"provider": "azure", "model": "gpt-4o-eu", "weight": 6},
                    {"provider": "openai", "model": "gpt-4o", "weight": 12},
                ],
            }
        ]

    def test_it_serves_once_the_variables_are_set(self, take: Import) -> None:
        """With the environment that LiteLLM had, every provider is active."""
        env = {"AZURE_KEY_EU": "a" * 20, "OPENAI_API_KEY": "b" * 20}
        snapshot = take(models(AZURE, OPENAI), env=env).loaded.snapshot
        assert {name: provider.status for name, provider in snapshot.providers.items()} == {
            "azure": "active",
            "openai": "active",
        }
        assert len(snapshot.routes[0].targets) == 2

    def test_one_account_is_one_provider(self, take: Import) -> None:
        """Deployments with equal credentials and addresses share a provider, others do not."""
        text = models(
            OPENAI,
            OPENAI.replace("gpt-4o", "gpt-4o-mini"),
            OPENAI.replace("gpt-4o", "o3").replace("OPENAI_API_KEY", "OTHER_KEY"),
        )
        found = take(text).document["providers"]
        assert {name: list(provider["models"]) for name, provider in found.items()} == {
            "openai": ["gpt-4o", "gpt-4o-mini"],
            "openai-2": ["o3"],
        }

    def test_an_order(self, take: Import) -> None:
        """`order` makes a route of priorities."""
        text = models(AZURE + "      order: 2\n", OPENAI.replace("rpm: 12", "order: 1"))
        found = route(take(text).document, "gpt-4o")
        assert "strategy" not in found
        assert [target["provider"] for target in found["targets"]] == ["openai", "azure"]

    def test_weights(self, take: Import) -> None:
        """`weight` comes before rates; fractions become whole numbers in the same proportion."""
        text = models(AZURE + "      weight: 0.9\n", OPENAI.replace("rpm: 12", "weight: 0.1"))
        found = route(take(text).document, "gpt-4o")
        assert [target["weight"] for target in found["targets"]] == [90, 10]

    def test_an_openai_server_elsewhere(self, take: Import) -> None:
        """`openai/` at another address is a compatible provider, on a private one with leave to be there; a word that
        stands for no key is none."""
        text = models(
            """
  - model_name: mine
    litellm_params: {model: openai/org/model, api_base: "http://10.0.0.5:8000/v1", api_key: none}
"""
        )
        found = take(text)
        assert found.document["providers"]["openai"] == {
            "type": "openai_compatible",
            "base_url": "http://10.0.0.5:8000/v1",
            "allow_private_network": True,
            "models": {"org/model": {}},
        }
        assert found.loaded.snapshot.providers["openai"].status == "active"

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ("model: gpt-4o-mini", {"type": "openai", "api_key": "${OPENAI_API_KEY}"}),
            ("model: claude-3-5-haiku", {"type": "anthropic", "api_key": "${ANTHROPIC_API_KEY}"}),
            (
                "model: bedrock/anthropic.claude-x, aws_region_name: us-east-1",
                {
                    "type": "bedrock",
                    "region": "us-east-1",
                    "access_key_id": "${AWS_ACCESS_KEY_ID}",
                    "secret_access_key": "${AWS_SECRET_ACCESS_KEY}",
                },
            ),
            (
                "model: vertex_ai/gemini-2.5-pro, vertex_project: p, vertex_location: europe-west4",
                {
                    "type": "vertex",
                    "project": "p",
                    "location": "europe-west4",
                    "credentials_file": "${GOOGLE_APPLICATION_CREDENTIALS}",
                },
            ),
            (
                "model: watsonx/ibm/granite, api_base: 'https://us-south.ml.cloud.ibm.com', project_id: x",
                {
                    "type": "watsonx",
                    "api_url": "https://us-south.ml.cloud.ibm.com",
                    "project_id": "x",
                    "api_key": "${WATSONX_APIKEY}",
                },
            ),
            (
                "model: azure/dep, api_base: os.environ/AZ_BASE, tenant_id: t, client_id: c, client_secret: $S",
                {
                    "type": "azure",
                    "base_url": "${AZ_BASE}",
                    "tenant_id": "t",
                    "client_id": "c",
                    "client_secret": "${S}",
                },
            ),
            (
                "model: perplexity/sonar",
                {
                    "type": "openai_compatible",
                    "base_url": "https://api.perplexity.ai",
                    "api_key": "${PERPLEXITYAI_API_KEY}",
                },
            ),
            (
                "model: hosted_vllm/qwen, api_base: 'http://gpu:8000/v1'",
                {"type": "vllm", "base_url": "http://gpu:8000/v1"},
            ),
        ],
    )
    def test_kinds(self, params: str, expected: dict[str, Any], take: Import) -> None:
        """Each of LiteLLM's providers is one of ours, with the credentials that LiteLLM finds in the environment."""
        document = take(f"model_list: [{{model_name: x, litellm_params: {{{params}}}}}]").document
        (provider,) = document["providers"].values()
        assert {name: value for name, value in provider.items() if name != "models"} == expected

    def test_a_shared_credential(self, take: Import) -> None:
        """`credential_list` is looked up."""
        text = """
            credential_list:
              - credential_name: shared
                credential_values: {api_key: os.environ/SHARED_KEY, api_base: "https://models.example.com/v1"}
            model_list:
              - {model_name: x, litellm_params: {model: openai/m, litellm_credential_name: shared}}
        """
        (provider,) = take(dedent(text)).document["providers"].values()
        assert provider["base_url"] == "https://models.example.com/v1"
        assert provider["api_key"] == "${SHARED_KEY}"

    def test_a_provider_that_nobody_knows(self, take: Import) -> None:
        """It is left out, with its place; the rest goes on."""
        found = take(models(OPENAI, "\n  - {model_name: odd, litellm_params: {model: replicate/x}}\n"))
        assert [entry["name"] for entry in found.document["routes"]] == ["gpt-4o"]
        assert "left out a deployment of `replicate`" in found.comments
        assert "config.yaml:13:5" in found.comments

    def test_a_wildcard(self, take: Import) -> None:
        """A deployment that passes every model on becomes a provider that lists its models itself."""
        text = models('\n  - {model_name: "anthropic/*", litellm_params: {model: "anthropic/*"}}\n')
        found = take(text)
        assert found.document["providers"]["anthropic"]["fetch_models"] is True
        assert "ask for `anthropic/<model>` as before" in found.comments

    def test_a_wildcard_keeps_its_name(self, take: Import) -> None:
        """Clients ask for `openai/<model>` and `mine/<model>` as before, whatever other accounts there are; what an
        account of the same name has to do without is said."""
        wild = [
            f'\n  - {{model_name: "{name}/*", litellm_params: {{model: "{model}", api_key: os.environ/{key}}}}}\n'
            for name, model, key in (
                ("openai", "openai/*", "B"),
                ("openai", "openai/*", "C"),
                ("mine", "anthropic/*", "D"),
                ("other", "anthropic/*", "D"),
            )
        ]
        found = take(models(OPENAI, *wild))
        providers = found.document["providers"]
        assert {name: (one["api_key"], one.get("fetch_models")) for name, one in providers.items()} == {
            "openai-2": ("${OPENAI_API_KEY}", None),
            "openai": ("${B}", True),
            "openai-3": ("${C}", True),
            "mine": ("${D}", True),
        }
        assert route(found.document, "gpt-4o")["targets"] == [{"provider": "openai-2", "model": "gpt-4o"}]
        assert "ask for `openai/<model>` as before" in found.comments
        told = "ask for `openai-3/<model>`, since `openai/<model>` is another account's: calls are not shared out"
        assert told in found.comments
        assert "ask for `mine/<model>` as before" in found.comments
        assert "`other/*` passed every model on: ask for `mine/<model>`, or list the models" in found.comments


class TestRouting:
    @pytest.mark.parametrize(
        ("word", "expected"),
        [
            ("simple-shuffle", "weighted"),
            ("least-busy", "least_busy"),
            ("latency-based-routing", "least_latency"),
            ("cost-based-routing", "cost_optimized"),
            ("usage-based-routing-v2", "usage_based"),
        ],
    )
    def test_strategies(self, word: str, expected: str, take: Import) -> None:
        """LiteLLM's words and ours."""
        text = models(AZURE, OPENAI) + f"router_settings: {{routing_strategy: {word}}}\n"
        assert route(take(text).document, "gpt-4o")["strategy"] == expected

    def test_fallbacks(self, take: Import) -> None:
        """Other groups' deployments stand behind: with weight 0 where calls are divided, last where they are not."""
        text = models(AZURE, OPENAI, CLAUDE, LOCAL)
        text += 'litellm_settings: {fallbacks: [{gpt-4o: [claude]}, {claude: ["local", "gpt-4o"]}]}\n'
        found = take(text).document
        assert [(t["provider"], t["weight"]) for t in route(found, "gpt-4o")["targets"]] == [
            ("azure", 6),
            ("openai", 12),
            ("anthropic", 0),
        ]
        assert [t["provider"] for t in route(found, "claude")["targets"]] == ["anthropic", "ollama", "azure", "openai"]

    def test_default_fallbacks(self, take: Import) -> None:
        """They stand behind every group that has none of its own."""
        text = models(CLAUDE, LOCAL) + "litellm_settings: {default_fallbacks: [local]}\n"
        found = take(text).document
        assert [t["provider"] for t in route(found, "claude")["targets"]] == ["anthropic", "ollama"]
        assert [t["provider"] for t in route(found, "local")["targets"]] == ["ollama"]

    def test_fallbacks_of_another_strategy(self, take: Import) -> None:
        """They stand behind with weight 0 there, too."""
        text = models(AZURE, OPENAI, CLAUDE) + "litellm_settings: {fallbacks: [{gpt-4o: [claude]}]}\n"
        text += "router_settings: {routing_strategy: latency-based-routing}\n"
        found = route(take(text).document, "gpt-4o")
        assert found["strategy"] == "least_latency"
        assert [t.get("weight", 1) for t in found["targets"]] == [1, 1, 0]

    def test_fallbacks_for_a_reason(self, take: Import) -> None:
        """They name the other group's route."""
        text = models(CLAUDE, LOCAL) + "litellm_settings:\n  context_window_fallbacks: [{claude: [local]}]\n"
        text += "  content_policy_fallbacks: [{claude: [local]}]\n"
        expected = {"context_window": "local", "content_filter": "local"}
        assert route(take(text).document, "claude")["fallbacks"] == expected

    def test_aliases(self, take: Import) -> None:
        """An alias leads where its group leads, in both of LiteLLM's forms."""
        text = models(CLAUDE, LOCAL)
        text += "router_settings: {model_group_alias: {best: claude, fast: {model: local, hidden: true}}}\n"
        found = take(text, env={"ANTHROPIC_API_KEY": "x" * 20})
        assert found.document["aliases"] == {"best": "claude", "fast": "local"}
        assert (
            "`router_settings.model_group_alias.fast.hidden` was not carried over: `/v1/models` lists" in found.comments
        )

    def test_an_alias_that_is_not_hidden(self, take: Import) -> None:
        """There is nothing to be said of it; of what is unknown there is."""
        alias = "{fast: {model: claude, hidden: false, tint: red}}"
        found = take(models(CLAUDE) + f"router_settings: {{model_group_alias: {alias}}}\n")
        assert "hidden" not in found.comments
        assert "`router_settings.model_group_alias.fast.tint` was not carried over" in found.comments

    def test_waiting_and_retries(self, take: Import) -> None:
        """A deployment's own settings come before those for all."""
        text = models(CLAUDE.replace("api_key:", "timeout: 5, max_retries: 1, api_key:"), LOCAL)
        text += "router_settings: {timeout: 30, stream_timeout: 7, num_retries: 2}\n"
        found = take(text).document["providers"]
        assert found["anthropic"]["timeout"] == {"total": 5, "first_byte": 7}
        assert found["anthropic"]["retry_attempts"] == 1
        assert found["ollama"]["timeout"] == {"total": 30, "first_byte": 7}
        assert found["ollama"]["retry_attempts"] == 2


class TestAccess:
    def test_the_master_key(self, take: Import) -> None:
        """It is a key of its own, by its variable."""
        text = models(LOCAL) + "general_settings: {master_key: os.environ/MASTER}\n"
        found = take(text, env={"MASTER": "sk-" + "m" * 40})
        assert found.document["keys"] == [{"name": "master", "secret": "${MASTER}"}]
        assert found.loaded.snapshot.virtual_keys["master"].active
        assert "gateway keys create" in found.comments

    def test_budgets(self, take: Import) -> None:
        """For all calls, and for the providers of a kind; periods are calendar ones."""
        text = models(OPENAI, LOCAL)
        text += "litellm_settings: {max_budget: 100, budget_duration: 30d}\n"
        text += "router_settings: {provider_budget_config: {openai: {budget_limit: 5, time_period: 1d}}}\n"
        assert take(text).document["limits"] == [
            {"name": "budget", "scope": "global", "quotas": [{"period": "month", "cost": 100}]},
            {
                "name": "budget-openai",
                "scope": "provider",
                "only": ["openai"],
                "quotas": [{"period": "day", "cost": 5}],
            },
        ]


class TestWhatIsNotCarriedOver:
    def test_everything_else_is_named_with_its_place(self, take: Import) -> None:
        """Nothing is dropped in silence."""
        text = models(OPENAI.replace("rpm: 12", "mock_response: hi"))
        text += "litellm_settings:\n  callbacks: [langfuse]\n  cache: true\n"
        text += "router_settings:\n  allowed_fails: 3\n"
        text += "general_settings:\n  database_url: os.environ/DB\n"
        text += "guardrails: []\n"
        found = take(text)
        for name in ("mock_response", "litellm_settings.callbacks", "router_settings.allowed_fails", "guardrails"):
            assert f"`{name}` was not carried over" in found.comments
        assert "set DATABASE_URL" in found.comments
        assert "config.yaml:13:14" in found.comments

    def test_what_our_schema_does_not_take(self, take: Import) -> None:
        """A model whose name we cannot have is left out; the text says why."""
        found = take(models(OPENAI, '\n  - {model_name: "two words", litellm_params: {model: openai/gpt-4o}}\n'))
        assert [entry["name"] for entry in found.document["routes"]] == ["gpt-4o"]
        assert "left out `two-words`: a model name is" in found.comments


class TestCredentials:
    def test_literals_become_variables(self, take: Import) -> None:
        """No literal stands in the output; the comment names the variable and the place."""
        literals = ["sk-literal-one-1234567890", "sk-literal-two-1234567890", "hunter2hunter2", "Bearer header-literal"]
        text = f"""
            model_list:
              - {{model_name: a, litellm_params: {{model: openai/a, api_key: {literals[0]}}}}}
              - {{model_name: b, litellm_params: {{model: openai/b, api_key: {literals[0]}}}}}
              - model_name: c
                litellm_params:
                  model: openai/c
                  api_key: {literals[1]}
                  extra_headers: {{Authorization: {literals[3]}, x-team: blue}}
            general_settings: {{master_key: {literals[2]}, database_url: "postgresql://u:{literals[2]}@h/d"}}
            environment_variables: {{THIRD: {literals[2]}}}
        """
        found = take(dedent(text))
        assert not [literal for literal in literals if literal in found.text]
        providers = found.document["providers"]
        assert providers["openai"]["api_key"] == "${OPENAI_API_KEY}"
        assert list(providers["openai"]["models"]) == ["a", "b"]
        assert providers["openai-2"]["api_key"] == "${OPENAI_API_KEY_2}"
        assert providers["openai-2"]["headers"] == {"Authorization": "${OPENAI_AUTHORIZATION}", "x-team": "blue"}
        assert found.document["keys"][0]["secret"] == "${LITELLM_MASTER_KEY}"
        assert "set the variable OPENAI_API_KEY_2" in found.comments
        assert "THIRD" in found.comments

    def test_a_variable_is_not_taken_twice(self, take: Import) -> None:
        """A literal gets a name that the file does not use for something else."""
        text = models(OPENAI, OPENAI.replace("os.environ/OPENAI_API_KEY", "sk-literal").replace("gpt-4o", "o3"))
        found = take(text).document["providers"]
        assert found["openai"]["api_key"] == "${OPENAI_API_KEY}"
        assert found["openai-2"]["api_key"] == "${OPENAI_API_KEY_2}"

    @pytest.mark.parametrize("written", ["os.environ/K", "${K}", "${K:-sk-default}", "$K"])
    def test_references(self, written: str, take: Import) -> None:
        """Every way to name a variable is kept as ours."""
        found = take(models(OPENAI.replace("os.environ/OPENAI_API_KEY", f'"{written}"')))
        assert found.document["providers"]["openai"]["api_key"] == "${K}"
        assert "sk-default" not in found.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model_list: [}\n", "config.yaml:1:14: this is not valid YAML"),
        ("model_list: []\n", "config.yaml:1:1: no provider could be carried over"),
        ("model_list:\n  - {model_name: x, litellm_params: {model: replicate/x}}\n", "`replicate`"),
        ("providers: {}\n", "a configuration of this gateway already"),
        ("something: else\n", "neither a `provider.config.toml`"),
        ("- a list\n", "config.yaml:1:1: expected a mapping"),
        ("", "the file is empty"),
    ],
)
def test_what_cannot_be_imported(text: str, expected: str, take: Import) -> None:
    """The error has its place and says what to do."""
    with pytest.raises(ConfigError, match="config") as caught:
        take(text)
    assert expected in str(caught.value)
