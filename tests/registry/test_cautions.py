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


TWO = "providers:\n  p: {type: mock, models: [large, small]}\n  q: {type: mock, models: [small, other]}\n"


def doubts(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> list[str]:
    """The warnings with a place, without the directory."""
    loaded = load_text(tmp_path, text, env)
    assert set(map(str, loaded.doubts)) <= set(loaded.warnings)
    return [str(one).removeprefix(f"{tmp_path}/gateway.yaml:") for one in loaded.doubts]


def test_models_of_keys_that_nothing_is_called_by_are_told(tmp_path: Path) -> None:
    """A name, or a pattern, that no request can ask for lets the key use nothing; each with its place."""
    text = TWO + (
        "aliases: {best: large}\nroutes: [{name: r, match: {model: ['fast*', exact]}, targets: [{provider: p, model: "
        "large}]}]\nkeys:\n  - name: k\n    secret: 0123456789-0123456789-0123456789\n    models:\n"
        "      - large\n      - best\n      - p/small\n      - fast-1\n      - exact\n      - 'f*'\n      - 'fast-x*'\n"
        "      - 'p/*'\n      - '[lo]*'\n      - 'ex?ct'\n      - lareg\n      - 'gpt-*'\n      - p/lagre\n      - r\n"
    )
    assert doubts(tmp_path, text) == [
        "20:9: no model, alias or route here is called `lareg`; did you mean `large`? (add it, or remove it here)",
        "21:9: no model, alias or route here fits `gpt-*` (add it, or remove it here)",
        "22:9: no model, alias or route here is called `p/lagre`; did you mean `p/large`? (add it, or remove it here)",
        "23:9: no model, alias or route here is called `r` (add it, or remove it here)",
    ]


@pytest.mark.parametrize(
    "more",
    [
        "  o: {type: mock, fetch_models: true}\n",
        "routes: [{name: r, default: true, targets: [{provider: p, model: large}]}]\n",
        "routes: [{name: r, match: {stream: true}, targets: [{provider: p, model: large}]}]\n",
    ],
)
def test_where_any_name_may_be_served_none_is_told(more: str, tmp_path: Path) -> None:
    """Models that a provider itself lists are not known, and some routes take whatever is asked for."""
    key = "keys: [{name: k, secret: 0123456789-0123456789-0123456789, models: [any, 'gpt-*']}]\n"
    assert doubts(tmp_path, TWO + more + key) == []


def test_models_of_providers_that_list_none_are_named_by_them(tmp_path: Path) -> None:
    """Nothing is told of `o/any`; a bare name gets nowhere, unless the client names the provider otherwise."""
    text = (
        "providers: {o: {type: openai, api_key: abc}}\nkeys:\n- name: k\n  secret: 0123456789-0123456789-0123456789\n"
        "  models: [o/any, 'o/gpt*', 'o*', any]\n"
    )
    told = "list it at its provider, or write `o/any`: without either only requests to a provider's own path get there"
    assert doubts(tmp_path, text) == [f"5:35: no model, alias or route here is called `any` ({told})"]


def test_providers_that_no_name_leads_to_are_told(tmp_path: Path) -> None:
    """All of its models are taken by routes without a target there; one that anything else names is in use."""
    text = TWO + (
        "routes:\n  - {name: a, match: {model: small}, targets: [{provider: p, model: small}]}\n"
        "  - {name: b, match: {model: 'o*'}, targets: [{provider: p, model: small}]}\n"
    )
    told = (
        "3:3: only requests that name the provider `q` get there: no route has it as a target, and its models are "
        "taken before it by `b` and `a` (give a route a target there, or remove the provider)"
    )
    assert doubts(tmp_path, text) == [told]
    key = "keys: [{name: k, secret: 0123456789-0123456789-0123456789, models: [q/small]}]\n"
    assert doubts(tmp_path, text + key) == []
    assert doubts(tmp_path, text + "aliases: {x: q/small}\n") == []
    assert doubts(tmp_path, text.replace("{model: small},", "{model: small, stream: true},")) == []
    assert doubts(tmp_path, text.replace("q: {", "q: {status: testing, ")) == []


def test_providers_without_a_list_are_reached_by_their_name(tmp_path: Path) -> None:
    """Until a route takes everything: then no request gets to them."""
    text = "providers: {p: {type: mock}, o: {type: openai, api_key: abc}}\nroutes: [{name: all, match: {model: %s}, "
    text += "targets: [{provider: p, model: mock-small}]}]\n"
    assert doubts(tmp_path, text % "fast") == []
    assert [line.partition(":")[0] for line in doubts(tmp_path, text % "'*'")] == ["1"]


@pytest.mark.parametrize(
    "secret",
    [
        *("<your-key>", "changeme", "your-api-key", "YOUR_OPENAI_API_KEY", "sk-xxxx", "sk-ant-XXXXXXXX", "sk-..."),
        *("xxxxxxxx", "a", "0000000000000000", "replace-me", "{{openai_key}}", "[your-key]", "Change_Me"),
    ],
)
def test_placeholders_are_told(secret: str, tmp_path: Path) -> None:
    """Wherever a secret stands, and from the environment too; it is not repeated."""
    text = f"providers:\n  a: {{type: openai, api_key: '{secret}'}}\n  b: {{type: openai, api_key: [abc1, '${{X}}']}}\n"
    assert doubts(tmp_path, text, {"X": secret}) == [
        f"{place}: `api_key` is a placeholder, no secret (write the secret itself, or `${{NAME}}` and set that)"
        for place in ("2:30", "3:37")
    ]
    assert doubts(tmp_path, text.replace("type: openai", "type: openai, status: inactive"), {"X": secret}) == []


@pytest.mark.parametrize(
    "secret", ["sk-proj-9fX2", "gw-xxaabbccdd", "sk-1111a", "EMPTY", "minio-1", "aa-b", "yourself", "abcabc"]
)
def test_what_may_be_a_secret_is_not_told(secret: str, tmp_path: Path) -> None:
    """Not every odd one is a placeholder."""
    assert doubts(tmp_path, f"providers: {{a: {{type: openai, api_key: '{secret}'}}}}\n") == []


def test_servers_that_ask_for_no_key_may_be_given_any(tmp_path: Path) -> None:
    """`sk-xxxx` is what many give to a server that does not look at it; `<your-key>` nobody does."""
    text = "providers: {a: {type: vllm, base_url: 'http://127.0.0.1:1', api_key: '%s'}}\n"
    assert doubts(tmp_path, text % "sk-xxxx") == []
    assert len(doubts(tmp_path, text % "<your-key>")) == 1


def test_secrets_of_keys_and_alerts_are_looked_at(tmp_path: Path) -> None:
    """A key that everybody can guess is as good as none."""
    text = (
        TWO
        + f"keys: [{{name: k, secret: {'a' * 32}}}]\nalerts: {{webhook: 'https://a.example/', secret: {'x' * 32}}}\n"
    )
    assert [line.partition(" is")[0] for line in doubts(tmp_path, text)] == ["4:26: `secret`", "5:49: `secret`"]
