"""What operators are told about a configuration that cannot be used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.errors import OperatorError
from gateway.registry import ConfigError, check_limits, check_routes, checks, load
from gateway.registry.schema import explain
from tests.registry.bad_files import BAD_FILES
from tests.registry.support import MOCK, errors_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_reported_with_place_and_advice(case: str, tmp_path: Path) -> None:
    """Every mistake in a file is reported at once, as `file:line:column: message`."""
    text, lines = BAD_FILES[case]
    assert errors_of(tmp_path, text) == [f"gateway.yaml:{line}" for line in lines]


def test_the_table_covers_every_sentence() -> None:
    """Each sentence that validation errors are mapped to appears in the table, and the fallback never does."""
    told = "\n".join(line for _, lines in BAD_FILES.values() for line in lines)
    for sentence in ("expected a mapping", "expected a list", "expected text", "must be above", "must be at least"):
        assert sentence in told
    assert "must be at most" in told
    assert "see the schema" not in told


def test_toml_syntax_errors_have_line_and_column(tmp_path: Path) -> None:
    """TOML that cannot be parsed is placed by line and column."""
    (line,) = errors_of(tmp_path, "version = 1\nproviders = \n", name="gateway.toml")
    assert line.startswith("gateway.toml:2:13: this is not valid TOML: Invalid value (")


def test_toml_mistakes_are_placed_by_line_and_column(tmp_path: Path) -> None:
    """What is wrong in well-formed TOML has its line and column, as in YAML."""
    text = "[providers.mock]\ntype = 'mock'\nmodles = ['a']\n[[routes]]\nname = 'r'\nmatch = {}\ntargets = []\n"
    assert errors_of(tmp_path, text, name="gateway.toml") == [
        "gateway.toml:3:1: unknown key `modles`; did you mean `models`?",
        (
            "gateway.toml:6:9: a match needs a condition "
            "(set `model`, `service`, `team`, `key`, `group`, `headers`, `stream`, `capabilities`, `context` or "
            "`size`; a route for all the rest says `default: true` instead of `match`)"
        ),
        "gateway.toml:7:11: there is nothing in it (add an entry)",
    ]


def test_bare_references_in_braces(tmp_path: Path) -> None:
    """`${NAME}` within braces is no YAML without quotes, which the message says; so are tabs that indent."""
    (line,) = errors_of(tmp_path, "providers:\n  o: {type: openai, api_key: ${KEY}}\n")
    assert line.startswith("gateway.yaml:2:31: this is not valid YAML: ")
    assert line.endswith('(within braces and brackets, a variable stands in quotes: "${NAME}")')
    (line,) = errors_of(tmp_path, "providers:\n\to: {type: openai}\n")
    assert line.endswith("(indent with spaces)")


def test_empty_text(tmp_path: Path) -> None:
    """Text in quotes with nothing in it is not told to be put in quotes."""
    (line,) = errors_of(tmp_path, "providers:\n  o: {type: openai, api_key: ''}\n")
    assert line == "gateway.yaml:2:30: there is no text in it (write some, or remove the setting)"


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    """A file whose aliases expand to millions of values is refused without building them."""
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (line,) = errors_of(tmp_path, "\n".join(lines))
    assert "the aliases expand to more than this file may hold" in line


def test_merges_that_multiply_are_refused(tmp_path: Path) -> None:
    """Chains of merge keys cannot make reading slow."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 9)]
    (line,) = errors_of(tmp_path, "\n".join(lines))
    assert "the aliases expand to more than this file may hold" in line


@pytest.mark.parametrize("text", ["a: " + "[" * 40 + "]" * 40, "[" * 100_000, "{a: " * 5000])
def test_deep_nesting_is_refused(text: str, tmp_path: Path) -> None:
    """Nesting beyond 32 levels ends in an error that says so, however deep it is."""
    (line,) = errors_of(tmp_path, text)
    assert line.endswith("this is nested deeper than 32 levels (flatten it)")


def test_deep_toml_is_refused(tmp_path: Path) -> None:
    """TOML is bounded in depth as YAML is."""
    (line,) = errors_of(tmp_path, "a = " + "[" * 40 + "]" * 40, name="gateway.toml")
    assert line == "gateway.toml:1:1: this is nested deeper than 32 levels (flatten it)"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A missing file, a directory and a file of more than 1 MiB are refused with what to do."""
    with pytest.raises(ConfigError, match=r"none\.yaml:1:1: the file does not exist \(check the path"):
        load(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match="is not a regular file"):
        load(tmp_path, {})
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match="is not a regular file"):
        load(tmp_path / "pipe.yaml", {})
    (tmp_path / "big.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load(tmp_path / "big.yaml", {})


def test_text_that_is_not_utf8_is_placed_at_its_first_bad_byte(tmp_path: Path) -> None:
    """The first byte that is not UTF-8 is told by line and column."""
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"version: 1\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml:2:6: the file is not UTF-8 text"):
        load(path, {})


@pytest.mark.parametrize(
    "text",
    [
        (
            "providers: {a: {type: openai, api_key: '${S}', models: [m]}}\n"
            "routes: [{name: '${S}', match: {model: x}, targets: [{provider: '${S}', model: '${S}'}]}]\n"
            "keys: [{name: '${S}', secret: '${S}'}, {name: '${S}', secret: '${S}', team: '${S}'}]\n"
        ),
        "providers: {a: {type: '${S}', base_url: '${S}'}, b: {type: mock, models: ['${S}', '${S}'], status: '${S}'}}\n",
        "providers: {a: {type: openai, api_key: 'sk \\n ${S}'}}\n",
        (
            "providers: {a: {type: mock}}\nkeys: [{name: k, secret: '${S}', quotas: "
            "[{period: day, cost: 1, action_on_exceed: {downgrade: '${S}'}}]}]\n"
        ),
    ],
)
def test_errors_never_show_a_value_of_the_environment(text: str, tmp_path: Path) -> None:
    """Wherever a secret is put by mistake, the errors that follow do not repeat it, nor the start of a long one."""
    for secret in ("sk-Zq81-do-not-print", "sk-Zq81-" + "long" * 40, "-----BEGIN-Zq81 KEY-----\nMIIE\n" * 4):
        for value in (text, text.replace("${S}", "before-${S}-after")):
            assert "Zq81" not in "\n".join(errors_of(tmp_path, value, {"S": secret}))


def test_errors_never_show_a_literal_secret(tmp_path: Path) -> None:
    """A secret that is written in the file and is wrong is not repeated either."""
    text = MOCK + "keys: [{name: k, secret: tooshort-Zq81}, {name: j, secret_hash: Zq81}]\nlimits: [{name: Zq81}]\n"
    assert "tooshort-Zq81" not in "\n".join(errors_of(tmp_path, text))


def test_a_flood_of_mistakes_is_cut(tmp_path: Path) -> None:
    """The first hundred mistakes are told, the rest counted."""
    lines = errors_of(tmp_path, MOCK + "".join(f"k{number}: 1\n" for number in range(150)))
    assert len(lines) == 101
    assert lines[-1] == "gateway.yaml:1:1: 50 more problems follow (mend these first)"


def test_a_flood_of_wrong_references_is_told_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest name is looked for only for the mistakes that are told: it takes far longer than to find them."""
    asked: list[str] = []

    def count(word: str, known: Iterable[str]) -> str:
        asked.append(word)
        return "; did you mean `it`?"

    for module in (checks, check_limits, check_routes, explain):
        monkeypatch.setattr(module, "did_you_mean", count)
    rows = range(400)
    text = MOCK + "teams:\n" + "".join(f"- {{name: t{n}}}\n" for n in rows)
    text += "routes:\n" + "".join(
        f"- {{name: r{n}, match: {{model: x, team: u{n}}}, targets: [{{provider: mock, model: n{n}}}]}}\n" for n in rows
    )
    text += "limits:\n" + "".join(f"- {{name: l{n}, scope: model, only: v{n}, requests: 1/s}}\n" for n in rows)
    text += "aliases:\n" + "".join(f"  a{n}: w{n}\n" for n in rows) + "".join(f"unknown{n}: 1\n" for n in rows)
    lines = errors_of(tmp_path, text)
    assert (len(lines), len(asked)) == (101, 100)
    assert lines[-1].endswith(": 1900 more problems follow (mend these first)")
    assert all("; did you mean `it`? (" in line for line in lines[:-1])


def test_a_config_error_is_an_operator_error() -> None:
    """Commands print it like every other mistake of an operator."""
    assert issubclass(ConfigError, OperatorError)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("gateway.yaml", "providers:\n", "  mock: {type: mock}\n"),
        ("gateway.toml", "version = 1\n", '[providers.mock]\ntype = "mock"\n'),
    ],
)
def test_a_merge_that_was_not_ended_is_told(name: str, before: str, after: str, tmp_path: Path) -> None:
    """As what it is, where its first mark stands."""
    text = f"{before}<<<<<<< HEAD\n{after}=======\n{after}>>>>>>> other\n"
    told = "two versions of the file were not merged here (keep what holds, and remove the lines of <<<<<<<, =======, "
    assert errors_of(tmp_path, text, name=name) == [f"{name}:2:1: {told}>>>>>>>)"]
