"""Model groups of LiteLLM's as routes: which deployments stand behind, by what shares, and who is asked next."""

from __future__ import annotations

import pytest

from .conftest import Import
from .texts import AZURE, CLAUDE, LOCAL, OPENAI, models, route


def deployments(name: str, models: list[str]) -> str:
    """Entries of one group at one provider."""
    return "".join(f"\n  - {{model_name: {name}, litellm_params: {{model: openai/{model}}}}}\n" for model in models)


class TestCircles:
    @pytest.mark.parametrize(
        ("setting", "failure"),
        [("content_policy_fallbacks", "content_filter"), ("context_window_fallbacks", "context_window")],
    )
    def test_two_that_stand_in_for_each_other(self, setting: str, failure: str, take: Import) -> None:
        """Every route is there; the reference that would close the circle names a deployment."""
        text = models(AZURE, OPENAI, CLAUDE)
        text += f"litellm_settings: {{{setting}: [{{gpt-4o: [claude]}}, {{claude: [gpt-4o]}}]}}\n"
        found = take(text)
        assert route(found.document, "gpt-4o")["fallbacks"] == {failure: "claude"}
        assert route(found.document, "claude")["fallbacks"] == {failure: "azure/gpt-4o-eu"}
        assert "leads back here: only `azure/gpt-4o-eu` of it stands in" in found.comments

    def test_a_longer_circle(self, take: Import) -> None:
        """It is cut where it would close, and where somebody joins it nothing is."""
        text = models(OPENAI, CLAUDE, LOCAL, CLAUDE.replace("claude", "opus"))
        pairs = "[{gpt-4o: [claude]}, {claude: [local]}, {local: [gpt-4o]}, {opus: [claude]}]"
        found = take(text + f"litellm_settings: {{content_policy_fallbacks: {pairs}}}\n").document
        assert {one["name"]: one["fallbacks"]["content_filter"] for one in found["routes"]} == {
            "gpt-4o": "claude",
            "claude": "local",
            "local": "openai/gpt-4o",
            "opus": "claude",
        }

    def test_another_reason_is_another_way(self, take: Import) -> None:
        """What leads back for one failure may lead there for another."""
        text = models(OPENAI, CLAUDE) + "litellm_settings:\n  context_window_fallbacks: [{claude: [gpt-4o]}]\n"
        found = take(text + "  content_policy_fallbacks: [{gpt-4o: [claude]}]\n").document
        assert route(found, "claude")["fallbacks"] == {"context_window": "gpt-4o"}
        assert route(found, "gpt-4o")["fallbacks"] == {"content_filter": "claude"}


class TestBehind:
    def test_every_target_is_reached(self, take: Import) -> None:
        """With more targets than a route has attempts, there are as many attempts."""
        text = models(deployments("big", ["a", "b", "c", "d"]), CLAUDE)
        found = take(text + "litellm_settings: {fallbacks: [{big: [claude]}]}\n").document
        assert route(found, "big")["max_attempts"] == len(route(found, "big")["targets"]) == 5
        assert "max_attempts" not in route(found, "claude")

    def test_more_than_attempts_can_be(self, take: Import) -> None:
        """The schema's maximum is enough for nobody to be refused."""
        text = models(deployments("big", [f"m{at}" for at in range(25)]), CLAUDE)
        found = take(text + "litellm_settings: {fallbacks: [{big: [claude]}]}\n").document
        assert route(found, "big")["max_attempts"] == 20
        assert len(route(found, "big")["targets"]) == 26

    def test_a_deployment_of_two_groups(self, take: Import) -> None:
        """It stands behind once."""
        text = models(CLAUDE, deployments("one", ["a", "b"]), deployments("two", ["b", "c"]))
        found = take(text + "litellm_settings: {fallbacks: [{claude: [one, two]}]}\n").document
        assert [target["model"] for target in route(found, "claude")["targets"]] == ["claude-sonnet-4-5", "a", "b", "c"]


class TestDroppedShares:
    """Nothing that says who gets how many of the calls is lost without a word."""

    def weighted(self, first: str, second: str) -> str:
        return "".join(
            f"\n  - {{model_name: big, litellm_params: {{model: openai/{model}, {share}}}}}\n"
            for model, share in (("a", first), ("b", second))
        )

    @pytest.mark.parametrize(
        ("shares", "settings", "told"),
        [
            (("weight: 3", "weight: 1"), "", ""),
            (("weight: 3, order: 1", "weight: 1"), "", "`weight` was not carried over: calls go by `order`"),
            (
                ("weight: 3", "rpm: 1"),
                "router_settings: {routing_strategy: least-busy}\n",
                "`weight` was not carried over: it counts in `simple-shuffle` alone",
            ),
            (("weight: 0", "weight: 0"), "", "`weight` is 0 for all of them: all have the same share"),
        ],
    )
    def test_weights(self, shares: tuple[str, str], settings: str, told: str, take: Import) -> None:
        """Where they do not count, a comment says so."""
        found = take(models(self.weighted(*shares)) + settings)
        assert ("weight" in found.comments) is bool(told)
        assert told in found.comments

    def test_what_stands_in(self, take: Import) -> None:
        """Deployments of a group share its load, and stand in for others one after the other."""
        text = models(CLAUDE, self.weighted("weight: 3", "weight: 1"))
        found = take(text + "litellm_settings: {fallbacks: [{claude: [big]}]}\n")
        assert [target.get("weight") for target in route(found.document, "claude")["targets"]] == [None] * 3
        assert "what stands in when these fail is tried in the file's order" in found.comments


class TestNames:
    @pytest.mark.parametrize("name", ["claude-sonnet-4-5[1m]", "what?", "a[!b]?"])
    def test_letters_that_are_wildcards_here(self, name: str, take: Import) -> None:
        """A name stands for itself alone, whatever is in it; an alias leads to it."""
        text = models(CLAUDE.replace("model_name: claude", f'model_name: "{name}"'))
        text += f'router_settings: {{model_group_alias: {{best: "{name}"}}}}\n'
        found = take(text, env={"ANTHROPIC_API_KEY": "x" * 20})
        assert found.matching(name) == [name_of(found.document)]
        assert found.matching("claude-sonnet-4-5m") == found.matching("whats") == found.matching("ac1") == []
        assert found.document["aliases"] == {"best": name}

    def test_wildcards_of_the_other_gateway(self, take: Import) -> None:
        """`*` is one there too."""
        found = take(models(CLAUDE.replace("model_name: claude", 'model_name: "cl[1]-*"')))
        assert found.matching("cl[1]-x") == [name_of(found.document)]
        assert found.matching("cl1-x") == []


class TestShares:
    WEIGHT, RATE, NONE = OPENAI.replace("rpm: 12", "weight: 2"), AZURE, CLAUDE.replace(": claude\n", ": gpt-4o\n")

    @pytest.mark.parametrize(
        ("entries", "weights", "comment"),
        [
            ([WEIGHT, RATE], [2, 0], "divided by `weight`"),
            ([RATE, WEIGHT], [6, 0], "divided by `rpm`"),
            ([NONE, WEIGHT], [1, 1], "the same share"),
            ([RATE.replace("rpm: 6", "x: 1"), OPENAI], [100000, 0], "divided by `tpm`"),
            ([RATE, OPENAI], [6, 12], ""),
        ],
    )
    def test_one_unit_for_a_group(self, entries: list[str], weights: list[int], comment: str, take: Import) -> None:
        """The first deployment decides what all of them go by; those that have none of it get no calls."""
        found = take(models(*entries))
        assert [target["weight"] for target in route(found.document, "gpt-4o")["targets"]] == weights
        assert comment in found.comments


def name_of(document: dict[str, list[dict[str, str]]]) -> str:
    """The name of the only route."""
    (only,) = document["routes"]
    return only["name"]
