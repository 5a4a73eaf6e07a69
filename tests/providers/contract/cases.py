"""What clients ask and what models answer: the cases that every dialect must carry over."""

from __future__ import annotations

import base64
from typing import Any

from .said import Call, Counts, Said, Turn

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
UNICODE = 'grüße 你好 🎈👩‍🚀 "quoted" \\ back'
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells the weather.", "parameters": SCHEMA},
}
TIME: dict[str, Any] = {
    "type": "function",
    "function": {"name": "time", "description": "Tells the time.", "parameters": {"type": "object", "properties": {}}},
}
HI: dict[str, Any] = {"role": "user", "content": "hi"}
TWO_CALLS: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "call_aaaa1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Köln"}'}},
        {"id": "call_bbbb2", "type": "function", "function": {"name": "time", "arguments": ""}},
    ],
}
RESULTS: list[dict[str, Any]] = [
    {"role": "tool", "tool_call_id": "call_aaaa1", "content": "sunny"},
    {"role": "tool", "tool_call_id": "call_bbbb2", "content": [{"type": "text", "text": "noon"}]},
]
FORMAT: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": SCHEMA}}
TOOLS = {"weather": ("Tells the weather.", SCHEMA), "time": ("Tells the time.", {"type": "object", "properties": {}})}

REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # fields of the request: what the provider must hear
    "text": ({"messages": [HI]}, {"turns": [Turn("user", "hi")]}),
    "unicode": ({"messages": [{"role": "user", "content": UNICODE}]}, {"turns": [Turn("user", UNICODE)]}),
    "system": ({"messages": [{"role": "system", "content": "be brief"}, HI]}, {"system": "be brief"}),
    "developer": ({"messages": [{"role": "developer", "content": "be brief"}, HI]}, {"system": "be brief"}),
    "system_parts": (
        {"messages": [{"role": "system", "content": [{"type": "text", "text": "be brief"}]}, HI]},
        {"system": "be brief"},
    ),
    "multi_part": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]},
        {"turns": [Turn("user", "ab")]},
    ),
    "conversation": (
        {"messages": [HI, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "again"}]},
        {"turns": [Turn("user", "hi"), Turn("assistant", "hello"), Turn("user", "again")]},
    ),
    "image": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "what?"},
                        {
                            "type": "image_url",
                            "image_url": {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
                        },
                    ],
                }
            ]
        },
        {"turns": [Turn("user", "what?", images=[("image/png", PNG)])]},
    ),
    "tools": ({"messages": [HI], "tools": [WEATHER, TIME]}, {"tools": TOOLS, "choice": "auto", "parallel": True}),
    "tool_choice_none": ({"messages": [HI], "tools": [WEATHER], "tool_choice": "none"}, {"choice": "none"}),
    "tool_choice_auto": ({"messages": [HI], "tools": [WEATHER], "tool_choice": "auto"}, {"choice": "auto"}),
    "tool_choice_required": ({"messages": [HI], "tools": [WEATHER], "tool_choice": "required"}, {"choice": "required"}),
    "tool_choice_named": (
        {
            "messages": [HI],
            "tools": [WEATHER, TIME],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
        },
        {"choice": "=weather"},
    ),
    "no_parallel": (
        {"messages": [HI], "tools": [WEATHER, TIME], "parallel_tool_calls": False},
        {"parallel": False},
    ),
    "tool_results": (
        {"messages": [HI, TWO_CALLS, *RESULTS], "tools": [WEATHER, TIME]},
        {
            "turns": [
                Turn("user", "hi"),
                Turn(
                    "assistant", calls=[Call("call_aaaa1", "weather", {"city": "Köln"}), Call("call_bbbb2", "time", {})]
                ),
                Turn("user", results=[("call_aaaa1", "sunny"), ("call_bbbb2", "noon")]),
            ]
        },
    ),
    "json_schema": ({"messages": [HI], "response_format": FORMAT}, {"schema": SCHEMA, "json_mode": True}),
    "json_object": ({"messages": [HI], "response_format": {"type": "json_object"}}, {"json_mode": True}),
    "format_text": ({"messages": [HI], "response_format": {"type": "text"}}, {"json_mode": False}),
    "stop_word": ({"messages": [HI], "stop": "END"}, {"stop": ("END",)}),
    "stop_words": ({"messages": [HI], "stop": ["END", "FIN"]}, {"stop": ("END", "FIN")}),
    "max_tokens": ({"messages": [HI], "max_tokens": 321}, {"limit": 321}),
    "max_completion_tokens": ({"messages": [HI], "max_completion_tokens": 321}, {"limit": 321}),
    "temperature": ({"messages": [HI], "temperature": 0.5}, {"temperature": 0.5}),
    "top_p": ({"messages": [HI], "top_p": 0.9}, {"top_p": 0.9}),
    "n_one": ({"messages": [HI], "n": 1}, {"n": 1}),
    "n_two": ({"messages": [HI], "n": 2}, {"n": 2}),
    "seed": ({"messages": [HI], "seed": 7}, {"seed": 7}),
    "reasoning": ({"messages": [HI], "reasoning_effort": "low", "max_tokens": 9000}, {"thinks": True}),
    "nulls": (
        {"messages": [HI], "temperature": None, "stop": None, "tools": None, "n": None, "seed": None, "user": None},
        {"turns": [Turn("user", "hi")], "temperature": None, "tools": {}},
    ),
}

BERLIN = Call("call_x1", "weather", {"city": "Köln", "unit": "c"})
NOON = Call("call_y2", "time", {})
ANSWERS: dict[str, Said] = {
    "text": Said("Hello there."),
    "unicode": Said(UNICODE),
    "empty": Said(""),
    "length": Said("Hello th", finish="length"),
    "call": Said(calls=(BERLIN,), finish="calls"),
    "no_arguments": Said(calls=(NOON,), finish="calls"),
    "parallel_calls": Said(calls=(BERLIN, NOON, Call("call_z3", "weather", {"city": "Bonn"})), finish="calls"),
    "text_and_call": Said("Let me look.", calls=(BERLIN,), finish="calls"),
    "reasoning": Said("42", reasoning="Six by seven.", counts=Counts(11, 9)),
    "reasoning_and_call": Said(reasoning="I should look.", calls=(BERLIN,), finish="calls"),
    "refused": Said("", finish="refused"),
    "cached": Said("Hi.", counts=Counts(100, 3, cached=64)),
    "cache_written": Said("Hi.", counts=Counts(100, 3, cached=10, written=50)),
    "counted_reasoning": Said("42", reasoning="Hm.", counts=Counts(11, 30, reasoning=20)),
}
FINISH = {"stop": "stop", "length": "length", "calls": "tool_calls", "refused": "content_filter"}
