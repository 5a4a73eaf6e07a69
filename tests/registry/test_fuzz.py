"""The border: whatever the file holds, loading ends in a configuration or in located errors."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import orjson
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.registry import ConfigError, load
from tests.registry.support import ROOT

FILES = [path.read_bytes() for path in sorted((ROOT / "config").rglob("*.yaml"))]
ENV = {"OPENAI_API_KEY": "sk-" + "a" * 40, "CI_GATEWAY_KEY": "b" * 40, "EMPTY": "", "ODD": "\udcff"}
LOCATED = re.compile(r"[^\n]+:\d+:\d+: [^\n]+")
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))

WORDS = st.sampled_from(
    [
        "version",
        "providers",
        "routes",
        "keys",
        "teams",
        "limits",
        "type",
        "models",
        "mock",
        "openai",
        "azure",
        "name",
        "match",
        "targets",
        "provider",
        "model",
        "strategy",
        "secret",
        "team",
        "quotas",
        "period",
        "cost",
        "action_on_exceed",
        "downgrade",
        "requests",
        "tokens",
        "timeout",
        "rate_limit",
        "headers",
        "price",
        "api_key",
        "base_url",
        "parameters",
        "${EMPTY}",
        "${ODD}",
        "${OPENAI_API_KEY}",
        "${X:-1}",
        "${",
        "$${",
        "x/y",
        "5/min",
        "200k",
        "<<",
        "gpt-4o",
        "status",
        "scope",
        "fetch_models",
        "zone",
        "alerts",
        "webhook",
        "only",
        "soft",
        "throttle_to",
        "throttle",
        "unpriced",
        "services",
        "expires",
        "global",
        "deployment",
        "Europe/Berlin",
        "2027-01-31",
        "max_output_tokens",
        "concurrency_limit",
    ]
)
SCALARS = st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=6)),
    max_leaves=25,
)


def check(content: bytes, suffix: str = ".yaml") -> None:
    """Load it: a revision, or errors that all have a place."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"gateway{suffix}"
        path.write_bytes(content)
        try:
            told = load(path, ENV).snapshot.revision
        except ConfigError as error:
            told = str(error)
    assert told
    if ":" in told:
        assert all(LOCATED.fullmatch(line) for line in told.split("\n"))


@FUZZ
@given(st.binary(max_size=200))
@example(b"%YAML 9.9\n---\na: b")
@example(b"%TAG ! tag:x,2000:\n---\n!a b")
@example(b"&a &b c")
@example(b"? \n: \n")
@example(b"\xff\xfea\x00")
@example(b'"\\UFFFFFFFF": 1')
@example(b"--- |9\n x")
def test_random_bytes(content: bytes) -> None:
    """Bytes without any structure."""
    check(content)
    check(content, ".toml")


@FUZZ
@given(st.text(alphabet="{}[]:,-&*!|>'\"#%@` \n\tab1?~<$", max_size=60))
def test_random_yaml_punctuation(text: str) -> None:
    """Everything that YAML's grammar gives a meaning."""
    check(text.encode())


@FUZZ
@given(st.sampled_from(FILES), st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=3)), max_size=4), st.data())
def test_damaged_examples(content: bytes, edits: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """The shipped files with bytes replaced, and cut off anywhere."""
    for position, piece in edits:
        position %= len(content)
        content = content[:position] + piece + content[position + len(piece) :]
    check(content[: data.draw(st.integers(0, len(content)))])


@FUZZ
@given(st.dictionaries(WORDS, TREES, max_size=6))
def test_well_formed_nonsense(document: dict[str, Any]) -> None:
    """Known words in places where they do not belong, with values of every type."""
    try:
        content = orjson.dumps(document)
    except TypeError:
        return
    check(content)


@FUZZ
@given(st.dictionaries(WORDS, TREES, max_size=4), st.lists(st.dictionaries(WORDS, TREES, max_size=5), max_size=3))
def test_nonsense_below_the_right_headings(provider: dict[str, Any], items: list[dict[str, Any]]) -> None:
    """The right outline with wrong contents."""
    document = {"providers": {"m": {"type": "mock"}, "p": {"type": "openai"} | provider}}
    for heading in ("routes", "keys", "teams", "limits"):
        document[heading] = items  # type: ignore[assignment]
    try:
        content = orjson.dumps(document)
    except TypeError:
        return
    check(content)
