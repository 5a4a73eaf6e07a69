"""What a configuration is warned of, and served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.registry.abilities import NEEDS, TRAITS, WORDS
from gateway.registry.schema.abilities import PLAIN, Abilities
from tests.registry.support import load_text

if TYPE_CHECKING:
    from pathlib import Path

SIX = ", ".join(f"{{provider: p, model: m{number}}}" for number in range(6))


def test_the_words_of_both_forms_are_the_same() -> None:
    """What a list may name without a warning is what a mapping knows and is no trait."""
    fields = {field.alias or name for name, field in Abilities.model_fields.items()}
    assert fields - {PLAIN} - TRAITS.keys() == set(WORDS)
    assert set(WORDS) >= NEEDS


def test_an_unknown_capability_of_a_list_is_told(tmp_path: Path) -> None:
    """It is carried along, and a warning names the nearest word that something goes by."""
    text = (
        "providers:\n  p:\n    type: mock\n    capabilities: caht\n    models:\n"
        "      m: {capabilities: [chat, vison, tools]}\n      n: {capabilities: {vision: true}}\n"
        "      o: {capabilities: ['${X}']}\n      q: {capabilities: zzz}\n"
    )
    loaded = load_text(tmp_path, text, {"X": "reasoning"})
    assert loaded.warnings[:2] == (
        "provider `p`: nothing here goes by the capability `caht`; did you mean `chat`?",
        "model `p/m`: nothing here goes by the capability `vison`; did you mean `vision`?",
    )
    assert loaded.warnings[2].startswith("model `p/q`: nothing here goes by the capability `zzz` (known: chat, ")
    assert len(loaded.warnings) == 3
    assert loaded.snapshot.deployments["p/m"].capabilities == {"chat", "vison", "tools"}
    assert "is inactive: X is not set" in load_text(tmp_path, text).warnings[0]


def test_references_of_other_programs_are_told(tmp_path: Path) -> None:
    """A setting that only looks like a variable's is taken as it stands, with a warning that does not repeat it."""
    text = (
        "providers:\n  a: {type: mock, headers: {x: $X}}\n  b: {type: openai, api_key: $OPENAI_KEY}\n"
        "  c: {type: openai, api_key: [env:ONE_KEY, abcdefgh]}\n  d: {type: openai, api_key: os.environ/KEY}\n"
        "  e: {type: openai, api_key: $ecret}\n"
    )
    assert load_text(tmp_path, text).warnings == tuple(
        f"provider `{name}`: `api_key` names no variable, and is taken as it stands (write `${{NAME}}`)"
        for name in "bcd"
    )


def test_a_bundle_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """A missing file and one without certificates are warned of; the provider is served, and refuses to trust."""
    (tmp_path / "empty.pem").write_text("no certificate\n")
    text = f"providers:\n  a: {{type: mock, ca_file: '{tmp_path}/none.pem'}}\n"
    text += f"  b: {{type: mock, ca_file: '{tmp_path}/empty.pem'}}\n"
    assert load_text(tmp_path, text).warnings == (
        (
            "provider `a`: its ca_file cannot be read: No such file or directory (check its path), "
            "so no connection to it is trusted"
        ),
        "provider `b`: its ca_file holds no certificates (name a PEM bundle), so no connection to it is trusted",
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("", "6 targets and max_attempts 4: the last 2 are tried only while others are out of rotation"),
        ("max_attempts: 5, strategy: primary_fallback,", "6 targets and max_attempts 5: the last one is tried only"),
        ("max_attempts: 6,", ""),
        ("strategy: weighted,", ""),
        ("strategy: round_robin,", ""),
        ("strategy: cost_optimized,", ""),
    ],
)
def test_targets_that_no_attempt_is_left_for_are_told(settings: str, told: str, tmp_path: Path) -> None:
    """Where targets are tried in their order, those beyond `max_attempts` are for nothing as a rule."""
    text = (
        f"providers: {{p: {{type: mock}}}}\nroutes: [{{name: r, match: {{model: x}}, {settings} targets: [{SIX}]}}]\n"
    )
    warnings = load_text(tmp_path, text).warnings
    assert [told in warning for warning in warnings] == ([True] if told else [])


def test_a_target_that_stands_twice_is_told(tmp_path: Path) -> None:
    """Once is enough, and is what counts for `max_attempts`."""
    text = "providers: {p: {type: mock}}\nroutes: [{name: r, match: {model: x}, max_attempts: 1, targets: "
    text += "[{provider: p, model: m}, {provider: p, model: m}]}]\n"
    assert load_text(tmp_path, text).warnings == (
        "route `r` has the target `p/m` 2 times (write it once; `weight` gives shares)",
    )


def test_routes_that_no_request_takes_are_told(tmp_path: Path) -> None:
    """An earlier route for all of their models hides them; one with more conditions does not, nor where it is named."""
    targets = "targets: [{provider: p, model: m}]"
    rules = {
        "gold": "match: {model: 'a*', headers: {x: y}}",
        "a": "match: {model: 'a*'}",
        "b": "match: {model: [b, 'q?']}",
        "a-again": "match: {model: 'a*', stream: true}",
        "ab": "match: {model: ['ab*', b]}",
        "partly": "match: {model: [b, c]}",
        "wider": "match: {model: 'q*'}",
        "spare": "match: {model: ax}",
        "user": "match: {model: u}, fallbacks: {context_window: spare}",
        "team": "match: {stream: true}",
        "all": "match: {model: '*'}",
        "late": "match: {stream: false}",
        "rest": "default: true",
    }
    text = "providers: {p: {type: mock, models: [m]}}\nroutes:\n"
    text += "".join(f"- {{name: {name}, {rule}, {targets}}}\n" for name, rule in rules.items())
    assert load_text(tmp_path, text).warnings == (
        "route `a-again` gets no request: what it is for, `a` takes before it (put it first)",
        "route `ab` gets no request: what it is for, `a` and `b` takes before it (put it first)",
        "route `late` gets no request: what it is for, `all` takes before it (put it first)",
    )
