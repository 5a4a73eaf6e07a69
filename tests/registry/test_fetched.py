"""Fetched models beside configured ones."""

from __future__ import annotations

from pathlib import Path

from gateway.registry.fetched import fetching, identity, with_fetched
from gateway.registry.snapshot import Snapshot
from tests.registry.support import load_text

CONFIG = """
providers:
  first: {type: ollama, fetch_models: true, capabilities: [chat], models: {shared: {context_window: 8k}}}
  second: {type: openai_compatible, base_url: 'https://b.example/v1', models: [shared, plain]}
  third: {type: openai_compatible, base_url: 'https://c.example/v1', fetch_models: true, status: testing}
  off: {type: openai_compatible, base_url: 'https://d.example/v1', fetch_models: true, status: inactive}
routes: [{name: r, match: {model: alias}, targets: [{provider: first, model: routed}]}]
"""


def _snapshot(tmp_path: Path, text: str = CONFIG) -> Snapshot:
    return load_text(tmp_path, text).snapshot


def _lists(snapshot: Snapshot, **lists: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {identity(snapshot.providers[name]): names for name, names in lists.items()}


def test_what_is_asked(tmp_path: Path) -> None:
    """Providers that fetch are asked unless they are inactive; another address makes another list."""
    snapshot = _snapshot(tmp_path)
    assert {provider.name for provider in fetching(snapshot).values()} == {"first", "third"}
    moved = _snapshot(tmp_path, CONFIG.replace("c.example", "e.example"))
    assert identity(moved.providers["third"]) != identity(snapshot.providers["third"])
    assert identity(moved.providers["first"]) == identity(snapshot.providers["first"])


def test_configured_ones_come_first(tmp_path: Path) -> None:
    """A fetched model stands behind those that are configured, in the order of the file; settings are kept."""
    snapshot = _snapshot(tmp_path)
    lists = _lists(snapshot, first=("plain", "shared", "new"), third=("new", "tested"), off=("never",))
    merged = with_fetched(snapshot, lists)
    served = {name: [found.id for found in deployments] for name, deployments in merged.models.items()}
    assert served == {
        "shared": ["first/shared", "second/shared"],
        "plain": ["second/plain", "first/plain"],
        "new": ["first/new"],
    }
    assert list(merged.models) == ["shared", "plain", "new"]
    assert merged.deployments["first/shared"].context_window == 8000
    assert merged.deployments["first/new"].capabilities == {"chat"}
    assert {"third/new", "third/tested"} <= set(merged.deployments)
    assert not any(name.startswith("off/") for name in merged.deployments)
    assert merged.revision == snapshot.revision


def test_a_routed_model_is_the_same_deployment(tmp_path: Path) -> None:
    """A route's target that the provider lists too is one deployment, and can be asked for by its bare name then."""
    snapshot = _snapshot(tmp_path)
    merged = with_fetched(snapshot, _lists(snapshot, first=("routed",)))
    assert merged.models["routed"] == (snapshot.routes[0].targets[0].deployment,)


def test_deployments_stay_the_same(tmp_path: Path) -> None:
    """Another list leaves the deployments that it still has as they are; a reload makes new ones."""
    snapshot = _snapshot(tmp_path)
    before = with_fetched(snapshot, _lists(snapshot, first=("a", "b")))
    after = with_fetched(snapshot, _lists(snapshot, first=("b", "c")), before.deployments)
    assert after.deployments["first/b"] is before.deployments["first/b"]
    assert "first/a" not in after.deployments
    reloaded = _snapshot(tmp_path)
    again = with_fetched(reloaded, _lists(reloaded, first=("b",)), after.deployments)
    assert again.deployments["first/b"].provider is reloaded.providers["first"]


def test_nothing_new_is_no_other_snapshot(tmp_path: Path) -> None:
    """Without lists, or with nothing in them that is not configured, the snapshot is itself."""
    snapshot = _snapshot(tmp_path)
    assert with_fetched(snapshot, {}) is snapshot
    assert with_fetched(snapshot, _lists(snapshot, first=("shared",))) is snapshot


def test_unlisted_names_stay_open(tmp_path: Path) -> None:
    """A provider that fetches can still be asked for a model it does not list: new ones appear between two looks."""
    snapshot = _snapshot(tmp_path)
    merged = with_fetched(snapshot, _lists(snapshot, first=("a",)))
    assert merged.deployment_for("first", "brand-new") is not None
    assert merged.deployment_for("second", "unlisted") is None
