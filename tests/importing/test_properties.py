"""For every file: what comes out passes `gateway check`, and holds no credential."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.importing.emit import scalar
from gateway.importing.litellm.kinds import KINDS
from gateway.registry.problems import ConfigError
from gateway.registry.yaml_reader import read_yaml

from .conftest import imported

LETTERS = st.characters(max_codepoint=0xFFFD, exclude_categories=["Cs"])
"""What JSON and YAML escape in the same way."""
CANARY = "sk-canary-0123456789"
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(LETTERS, max_size=12),
    st.sampled_from(
        ["os.environ/X", "${X}", "${", "$${X}", "true", "0x10", "1e3", "2024-01-01", "# no", "- x", "a: b"]
    ),
)
JSON = st.recursive(
    ODD,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(LETTERS, min_size=1, max_size=8), inner, max_size=2)
    ),
    max_leaves=4,
)
NAMES = st.one_of(
    st.sampled_from(["gpt-4o", "claude", "fast", "a b", "*", "x/y", "gpt-*", "gpt[1]"]),
    st.text(LETTERS, min_size=1, max_size=9),
)
MODELS = st.one_of(
    st.builds(lambda prefix, rest: f"{prefix}/{rest}", st.sampled_from([*KINDS, "nobody"]), NAMES),
    st.sampled_from(["gpt-4o", "claude-3", "anything"]),
)
PARAMETERS = st.fixed_dictionaries(
    {"model": MODELS},
    optional={
        "api_key": st.sampled_from([CANARY, "os.environ/KEY", "none", ""]),
        "api_base": st.sampled_from(
            [
                "https://x.example/v1", "http://10.1.2.3", "os.environ/BASE", "not an address", "x.example/v1",
                "https://r.openai.azure.com", "https://x.example/v1/messages", "https://x.example?tenant=7",
                f"https://user:{CANARY}@x.example",
            ]
        ),
        "drop_params": st.sampled_from([True, False, "true", "os.environ/DROP"]),
        "aws_secret_access_key": st.just(CANARY),
        "client_secret": st.just(CANARY),
        "extra_headers": st.dictionaries(
            st.sampled_from(["authorization", "x-key", "x-proxy", "team"]),
            st.sampled_from([CANARY, f"Bearer {CANARY}", "Bearer ${K}", "blue"]),
            max_size=1,
        ),
        **dict.fromkeys(
            ("rpm", "tpm", "weight", "order", "timeout", "max_retries", "max_parallel_requests", "temperature", "stop",
             "input_cost_per_token", "vertex_project", "aws_region_name", "api_version", "odd", "max_budget"),
            JSON,
        ),
    },
)  # fmt: skip
ENTRIES = st.fixed_dictionaries(
    {"model_name": NAMES, "litellm_params": PARAMETERS},
    optional={
        "model_info": st.dictionaries(
            st.sampled_from(["max_input_tokens", "input_cost_per_token", "mode", "base_model", "access_groups"]), ODD
        )
    },
)
GROUPS = st.dictionaries(NAMES, st.one_of(st.lists(NAMES, max_size=2), ODD), max_size=2)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "fallbacks": st.one_of(st.lists(GROUPS, max_size=2), JSON),
        "context_window_fallbacks": st.lists(GROUPS, max_size=2),
        "content_policy_fallbacks": st.lists(GROUPS, max_size=2),
        "default_fallbacks": st.one_of(st.lists(NAMES, max_size=2), JSON),
        "model_group_alias": st.one_of(st.dictionaries(NAMES, NAMES, max_size=2), JSON),
        "routing_strategy": st.sampled_from(["simple-shuffle", "least-busy", "usage-based-routing-v2", "odd", 3]),
        "provider_budget_config": st.dictionaries(st.sampled_from(["openai", "x"]), JSON),
        **dict.fromkeys(("max_budget", "budget_duration", "timeout", "stream_timeout", "num_retries", "odd"), JSON),
        "global_max_parallel_requests": JSON,
        "master_key": st.sampled_from([CANARY, "os.environ/MASTER"]),
        "drop_params": st.sampled_from([True, False, "odd"]),
        "database_url": st.just(f"postgresql://u:{CANARY}@h/d"),
    },
)
LITELLM = st.fixed_dictionaries(
    {"model_list": st.lists(ENTRIES, min_size=1, max_size=4)},
    optional={
        "router_settings": SETTINGS,
        "litellm_settings": SETTINGS,
        "general_settings": SETTINGS,
        "environment_variables": st.dictionaries(st.sampled_from(["A", "B"]), st.just(CANARY)),
        "odd": JSON,
    },
)


def outcome(path: Path) -> tuple[str, bool]:
    """The text that came out, or the error's; and whether it was the text."""
    try:
        return imported(path).text, True
    except ConfigError as error:
        return str(error), False


def check(data: Any) -> None:
    """Import this; either nothing at all could be carried over, or what came out loads."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.yaml"
        path.write_text(json.dumps(data))
        text, taken = outcome(path)
        assert CANARY not in text
        assert taken or f"{path}:1:1: no provider could be carried over" in text


@pytest.mark.slow
@given(LITELLM)
@settings(max_examples=100)
@example({"model_list": [{"model_name": "x", "litellm_params": {"model": "openai/${", "stop": "${X} ${"}}]})
def test_any_litellm_file(data: Any) -> None:
    """Whatever stands in it, in whatever type."""
    check(data)


@given(st.text())
def test_any_text_is_itself(text: str) -> None:
    """A value that was written is read as the same text, whatever it looks like."""
    if "\x00" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        return
    assert read_yaml(Path("x.yaml"), f"{scalar(text)}: {scalar(text)}\n").data == {text: text}
