"""Everything that the contract is about has its cases, and every dialect keeps them or says by name what it cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import UnsupportedParameter
from gateway.ports import Dialect

from .cases import ANSWERS, HI, REQUESTS, TIME, WEATHER
from .natives import Native, native_of
from .test_contract import DIALECTS, STATUSES, call_of, deployment_of

ASKED: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "unicode": ("unicode",),
    "system and developer": ("system", "developer", "system_parts"),
    "multi-part": ("multi_part",),
    "conversations": ("conversation",),
    "images by data URI": ("image",),
    "tools": ("tools", "no_parallel"),
    "tool results in history": ("tool_results",),
    "tool_choice": ("tool_choice_none", "tool_choice_auto", "tool_choice_required", "tool_choice_named"),
    "structured output": ("json_schema", "json_object", "format_text"),
    "stop": ("stop_word", "stop_words"),
    "max tokens": ("max_tokens", "max_completion_tokens"),
    "n": ("n_one", "n_two"),
    "seed": ("seed",),
    "sampling": ("temperature", "top_p"),
    "reasoning": ("reasoning",),
    "absent fields": ("nulls",),
}
ANSWERED: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "unicode": ("unicode",),
    "empty content": ("empty",),
    "cut off": ("length",),
    "calls": ("call", "no_arguments", "text_and_call"),
    "parallel calls": ("parallel_calls",),
    "reasoning": ("reasoning", "reasoning_and_call"),
    "refusals": ("refused",),
    "usage with cached and reasoning tokens": ("cached", "cache_written", "counted_reasoning"),
}
ALWAYS = frozenset({"text", "unicode", "system", "developer", "conversation", "tools", "tool_results", "max_tokens"})
"""What no dialect may refuse: without it, it does not chat."""
every_dialect = pytest.mark.parametrize("name", sorted(DIALECTS))


def test_every_case_belongs_to_a_feature() -> None:
    """No feature has lost its cases; no case stands alone."""
    assert sorted(case for cases in ASKED.values() for case in cases) == sorted(REQUESTS)
    assert sorted(case for cases in ANSWERED.values() for case in cases) == sorted(ANSWERS)
    assert STATUSES.keys() >= {400, 401, 402, 403, 404, 408, 409, 413, 422, 424, 429, 500, 502, 503, 504, 529}


@every_dialect
def test_what_is_refused_is_declared(name: str) -> None:
    """A dialect's exceptions name cases that there are, and never what every chat needs."""
    native = native_of(DIALECTS[name])
    assert native.refuses.keys() <= REQUESTS.keys() - ALWAYS
    assert native.silent <= ANSWERS.keys() - {"text", "unicode", "length", "call", "parallel_calls"}


@every_dialect
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_tool_choice_of_some(name: str, mode: str) -> None:
    """`allowed_tools`: the provider hears which, or is offered no other; one that cannot be forced says so."""
    dialect = DIALECTS[name]
    native = native_of(dialect)
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": "weather"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    fields = {"messages": [HI], "tools": [WEATHER, TIME], "tool_choice": choice}
    if f"tool_choice_{mode}" in native.refuses:
        with pytest.raises(UnsupportedParameter, match="tool_choice"):
            sent(dialect, native, fields)
        return
    body = sent(dialect, native, fields)
    if body.get("tool_choice") == choice:
        return
    assert "Tells the weather." in json.dumps(body)
    assert "Tells the time." not in json.dumps(body)


def sent(dialect: Dialect, native: Native, fields: dict[str, Any]) -> dict[str, Any]:
    """The native body."""
    parts = dialect.body(call_of(fields), deployment_of(dialect, native))
    assert isinstance(parts, list | tuple)
    body: dict[str, Any] = json.loads(b"".join(parts))
    return body
