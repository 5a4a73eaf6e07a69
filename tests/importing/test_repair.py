"""What comes out passes `gateway check` when its variables are set, too."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.importing.draft import Draft, Noted
from gateway.importing.emit import emit
from gateway.importing.repair import repair
from gateway.registry.catalogue import TYPES
from gateway.registry.loader import context_for

from .conftest import Import

SET = {
    "OPENAI_API_KEY": "k" * 20,
    "ANTHROPIC_API_KEY": "k" * 20,
    "AWS_ACCESS_KEY_ID": "k",
    "AWS_SECRET_ACCESS_KEY": "k",
}


def entry(params: str) -> str:
    """A file with one deployment."""
    return f"model_list: [{{model_name: x, litellm_params: {{{params}}}}}]\n"


class TestWhereItIs:
    @pytest.mark.parametrize(
        ("params", "setting", "variable", "why", "value"),
        [
            (
                'model: openai/m, api_base: "https://x.example/v1?tenant=7"',
                "base_url", "OPENAI_BASE_URL", "a query or fragment", "https://x.example/v1",
            ),
            (
                'model: anthropic/m, api_base: "https://user:hunter2@x.example"',
                "base_url", "ANTHROPIC_BASE_URL", "a user or password", "https://x.example/v1",
            ),
            (
                "model: anthropic/m, api_base: x.example",
                "base_url", "ANTHROPIC_BASE_URL", "expected an address", "https://x.example/v1",
            ),
            (
                "model: bedrock/m, aws_region_name: eu west",
                "region", "BEDROCK_REGION", "letters, digits and dashes", "eu-west-1",
            ),
        ],
    )  # fmt: skip
    def test_what_cannot_be_said_is_left_to_a_variable(
        self, params: str, setting: str, variable: str, why: str, value: str, take: Import
    ) -> None:
        """The provider, its models and its route stay, and wait for it: nobody is asked at another address instead."""
        found = take(entry(params), env=SET)
        (provider,) = found.document["providers"].values()
        assert provider[setting] == f"${{{variable}}}"
        assert f"set the variable {variable}" in found.comments
        assert why in found.comments
        assert "hunter2" not in found.text
        assert [one.status for one in found.loaded.snapshot.providers.values()] == ["inactive"]
        again = take(entry(params), env={**SET, variable: value})
        assert [one.status for one in again.loaded.snapshot.providers.values()] == ["active"]
        assert len(again.loaded.snapshot.routes[0].targets) == 1

    def test_the_other_format(self, take: Import) -> None:
        """Addresses in a `provider.config.toml` are no different."""
        text = '[provider.cloud.mistral]\napi_key = "MISTRAL_KEY"\nbase_url = "https://x.example/v1?tenant=7"\n'
        found = take(text, "provider.config.toml", env={"MISTRAL_KEY": "k" * 20})
        assert found.document["providers"]["mistral"]["base_url"] == "${MISTRAL_BASE_URL}"
        assert found.loaded.snapshot.providers["mistral"].status == "inactive"

    def test_one_variable_for_two_things(self, take: Import) -> None:
        """What no value can serve is left out: an address is no region."""
        text = entry("model: bedrock/m, aws_region_name: $HERE, api_base: $HERE")
        text = text.replace("]\n", ", {model_name: y, litellm_params: {model: openai/m}}]\n")
        found = take(text)
        assert list(found.document["providers"]) == ["openai"]
        assert [one["name"] for one in found.document["routes"]] == ["y"]
        assert "left out" in found.comments


def drafted(**parts: Any) -> Draft:
    """A draft with a provider of two models, and whatever else."""
    draft = Draft("x.yaml")
    draft.providers["a"] = Noted(type="ollama", models={"m": Noted(), "n": Noted()})
    for name, part in parts.items():
        getattr(draft, name).extend(part)
    return draft


def lines(draft: Draft) -> str:
    """Its text on one line."""
    return " ".join(emit(draft).replace("#", " ").split())


def test_a_fallback_that_leads_nowhere() -> None:
    """It alone goes, and the heading that it leaves empty; the comment says what else it might be."""
    fallbacks = {"content_filter": "a/mm", "context_window": "a/n"}
    targets = [{"provider": "a", "model": "m"}]
    one = Noted(name="one", match={"model": "x"}, targets=targets, fallbacks=dict(fallbacks))
    two = Noted(name="two", match={"model": "y"}, targets=targets, fallbacks={"content_filter": "two"})
    draft = drafted(routes=[one, two])
    repair(draft, context_for(frozenset(TYPES), None))
    assert [route["name"] for route in draft.routes] == ["one", "two"]
    assert one["fallbacks"] == {"context_window": "a/n"}
    assert "fallbacks" not in two


def test_the_comment_has_the_hint() -> None:
    """What a fault says to people is in it, and no placeholder."""
    target = {"provider": "a", "model": "m", "wieght": 3}
    draft = drafted(routes=[Noted(name="one", match={"model": "x"}, targets=[target])])
    repair(draft, context_for(frozenset(TYPES), None))
    assert "unknown key `wieght`; did you mean `weight`?" in lines(draft)
