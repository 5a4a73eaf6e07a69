"""`model_info`: prices by the model that a deployment is, and comments for the rest."""

from __future__ import annotations

import pytest

from .conftest import Import, Imported
from .texts import AZURE, CLAUDE, models


def with_info(info: str, take: Import, params: str = "x-params: 1") -> Imported:
    """A file with Azure's deployment, and this `model_info`."""
    return take(models(AZURE.replace("rpm: 6", params) + f"    model_info: {{{info}}}\n"))


class TestBaseModel:
    @pytest.mark.parametrize("base", ["gpt-4o", "azure/gpt-4o", "azure/eu/gpt-4o-2024-08-06", "openai/gpt-4o"])
    def test_its_price(self, base: str, take: Import) -> None:
        """A deployment whose name tells nothing costs what its base_model does."""
        found = with_info(f"base_model: {base}", take)
        price = found.document["providers"]["azure"]["models"]["gpt-4o-eu"]["price"]
        assert price["input"] > 0
        assert price["output"] > price["input"]
        assert f"list price of its base_model, `{base}`" in found.comments

    def test_where_litellm_has_it_too(self, take: Import) -> None:
        """Beside the other parameters."""
        found = with_info("", take, params="base_model: gpt-4o")
        assert "price" in found.document["providers"]["azure"]["models"]["gpt-4o-eu"]
        assert "`base_model` was not carried over" not in found.comments

    def test_a_price_of_ones_own(self, take: Import) -> None:
        """It goes first."""
        found = with_info("base_model: gpt-4o, input_cost_per_token: 0.000007", take)
        assert found.document["providers"]["azure"]["models"]["gpt-4o-eu"]["price"] == {"input": 7}
        assert "list price" not in found.comments

    def test_a_name_that_tells_it_all(self, take: Import) -> None:
        """The catalogue knows the model by its own name: its price is left to it, and stays up to date."""
        found = take(models(CLAUDE + "    model_info: {base_model: claude-sonnet-4-5}\n"))
        assert found.document["providers"]["anthropic"]["models"] == {"claude-sonnet-4-5": {}}

    def test_one_that_nobody_knows(self, take: Import) -> None:
        """The comment says what to add."""
        found = with_info("base_model: nobodys-model", take)
        assert "price" not in found.document["providers"]["azure"]["models"]["gpt-4o-eu"]
        assert "no price is known of its base_model, `nobodys-model`: write what it costs" in found.comments


class TestPrices:
    def test_every_amount(self, take: Import) -> None:
        """Caches of an hour, sound, and what a long prompt costs, where caches that are not named cost the same."""
        found = with_info(
            "input_cost_per_token: 0.000003, output_cost_per_token: 0.000015, cache_read_input_token_cost: 3e-7, "
            "cache_creation_input_token_cost: 0.00000375, cache_creation_input_token_cost_above_1hr: 0.000006, "
            "input_cost_per_audio_token: 0.00001, output_cost_per_audio_token: 0.00002, "
            "input_cost_per_token_above_200k_tokens: 0.000006, output_cost_per_token_above_200k_tokens: 0.0000225, "
            "cache_creation_input_token_cost_above_200k_tokens: 0.0000075",
            take,
        )
        large = {"input": 6, "output": 22.5, "cached_input": 0.3, "cache_write": 7.5, "cache_write_1h": 6}
        assert found.document["providers"]["azure"]["models"]["gpt-4o-eu"]["price"] == {
            "input": 3,
            "output": 15,
            "cached_input": 0.3,
            "cache_write": 3.75,
            "cache_write_1h": 6,
            "audio_input": 10,
            "audio_output": 20,
            "tiers": [{"above": 200_000, **large}],
        }
        assert "cost" not in found.comments

    def test_tiers_of_service(self, take: Import) -> None:
        """What LiteLLM names by the end of a word; long prompts have their own there, too."""
        found = with_info(
            "input_cost_per_token: 0.000002, output_cost_per_token: 0.000008, cache_read_input_token_cost: 5e-7, "
            "input_cost_per_token_priority: 0.0000035, output_cost_per_token_priority: 0.000014, "
            "cache_read_input_token_cost_priority: 8.75e-7, input_cost_per_token_above_272k_tokens_priority: 0.000007, "
            "input_cost_per_token_flex: 0.000001, cache_read_input_token_cost_flex: 2.5e-7",
            take,
        )
        assert found.document["providers"]["azure"]["models"]["gpt-4o-eu"]["price"] == {
            "input": 2,
            "output": 8,
            "cached_input": 0.5,
            "service_tiers": {
                "flex": {"input": 1, "cached_input": 0.25},
                "priority": {
                    "input": 3.5,
                    "output": 14,
                    "cached_input": 0.875,
                    "tiers": [{"above": 272_000, "input": 7, "cached_input": 0.875}],
                },
            },
        }
        assert "cost" not in found.comments

    def test_only_tiers(self, take: Import) -> None:
        """There is no price without one of ordinary calls: what was left out is told."""
        found = with_info("input_cost_per_token_priority: 0.0000035", take)
        assert "price" not in found.document["providers"]["azure"]["models"]["gpt-4o-eu"]
        assert "tiers of service were not carried over" in found.comments

    def test_units(self, take: Import) -> None:
        """A second, an image, a character: the price of a unit, if there is one."""
        found = with_info("input_cost_per_second: 0.0001, output_cost_per_second: 0.0001", take)
        assert found.document["providers"]["azure"]["models"]["gpt-4o-eu"]["price"] == {"per_unit": 0.0001}
        found = with_info("input_cost_per_second: 0.0001, output_cost_per_image: 0.04", take)
        assert "price" not in found.document["providers"]["azure"]["models"]["gpt-4o-eu"]
        assert "several prices of units were not carried over" in found.comments

    def test_half_a_price(self, take: Import) -> None:
        """What it does not say would be free: that is told."""
        found = with_info("cache_read_input_token_cost: 3e-7", take)
        assert "`price` says nothing of input and output: that costs nothing, until you add it" in found.comments
        assert "says nothing" not in with_info("mode: embedding, input_cost_per_token: 1e-7", take).comments


class TestTheRest:
    def test_everything_is_named(self, take: Import) -> None:
        """Nothing is dropped in silence, but for what LiteLLM notes for itself."""
        found = with_info("id: 7, mode: chat, supports_vision: true, odd: 1, max_input_tokens: 5", take)
        for name in ("mode", "supports_vision", "odd"):
            assert f"`model_info.{name}` was not carried over" in found.comments
        assert "model_info.id" not in found.comments
        assert "model_info.max_input_tokens" not in found.comments

    def test_rights(self, take: Import) -> None:
        """Who may use a model is said to be lost as such."""
        found = with_info("access_groups: [beta]", take)
        assert "`model_info.access_groups` was not carried over: it says who may use the model" in found.comments

    def test_wildcards(self, take: Import) -> None:
        """What was set for every model is told, too."""
        entry = '\n  - model_name: "anthropic/*"\n    litellm_params: {model: "anthropic/*", rpm: 5, mock: 1}\n'
        found = take(models(entry + "    model_info: {access_groups: [beta]}\n    tags: [a]\n"))
        for name in ("rpm", "mock", "model_info.access_groups", "model_list.tags"):
            assert f"`{name}` was not carried over" in found.comments


def test_a_model_that_only_a_variable_names(take: Import) -> None:
    """It is left out, with its place: models stand in the file."""
    found = take(models(AZURE, "\n  - {model_name: e, litellm_params: {model: openai/os.environ/MODEL}}\n"))
    assert [one["name"] for one in found.document["routes"]] == ["gpt-4o"]
    assert "whose model only a variable names" in found.comments
