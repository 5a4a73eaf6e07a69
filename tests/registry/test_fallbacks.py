"""What routes and providers say of failures, as it is served."""

from __future__ import annotations

from pathlib import Path

from gateway.types import Drain, Hedge

from .support import load_text

TEXT = """
version: 1
providers:
  a: {type: mock, models: [m, big], on_disconnect: {at_once: 5}, queue_timeout: 2s, breaker: false}
  b: {type: mock, models: [m], on_disconnect: drain}
  c: {type: mock, models: [m], on_disconnect: cancel}
  off: {type: mock, status: inactive}
routes:
  - name: x
    match: {model: x}
    targets: [{provider: a, model: m}]
    fallbacks: {context_window: y, content_filter: b/m}
    hedge: {after: 500ms}
  - name: y
    match: {model: y}
    targets: [{provider: off, model: mock-small}, {provider: b, model: m}]
    fallbacks: {context_window: z}
    hedge: {max_share: 0.1}
  - name: z
    match: {model: z}
    targets: [{provider: b, model: m}, {provider: a, model: big}]
    fallbacks: {content_filter: off/mock-small}
"""


def test_fallbacks_are_followed_to_their_end(tmp_path: Path) -> None:
    """A chain of routes becomes one list without repetitions; what is inactive is left out."""
    x, y, z = load_text(tmp_path, TEXT).snapshot.routes
    found = {word: [one.id for one in chain] for word, chain in x.fallbacks.items()}
    assert found == {"context_window": ["b/m", "a/big"], "content_filter": ["b/m"]}
    assert {word: [one.id for one in chain] for word, chain in y.fallbacks.items()} == {
        "context_window": ["b/m", "a/big"]
    }
    assert z.fallbacks == {}


def test_hedging_and_draining(tmp_path: Path) -> None:
    """Every form, with what is not said."""
    snapshot = load_text(tmp_path, TEXT).snapshot
    assert [route.hedge for route in snapshot.routes] == [Hedge(0.5, 0.05), Hedge(None, 0.1), None]
    providers = snapshot.providers
    assert [providers[name].drain for name in "abc"] == [Drain(5, 60.0), Drain(32, 60.0), None]
    assert [providers[name].queue_timeout for name in "ab"] == [2.0, 1.0]
    assert [providers[name].breaker for name in "ab"] == [False, True]
