"""What the models at Bedrock accept, told from their names. Data; unknown ones are taken to accept what they are asked.

A name is a model's (`anthropic.claude-…`), an inference profile's (`eu.anthropic.claude-…`) or an ARN that ends in one
of these. Profiles that customers name themselves tell nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from gateway.providers.messages.models import Abilities as ClaudeAbilities
from gateway.providers.messages.models import abilities_of as claude_abilities

_VENDOR = re.compile(
    r"(?:^|[/.:])(?P<vendor>ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai"
    r"|nvidia|openai|qwen|stability|twelvelabs|writer|zai)\.(?P<name>[^/]*)$"
)
_UNINSTRUCTED = ("titan-", "mistral-7b", "mixtral-8x7b", "command-text", "command-light", "j2-")
"""Models that take no `system`."""
_UNSHAPED = frozenset({"amazon", "meta", "cohere", "ai21", "writer"})
"""Vendors whose models cannot be held to a JSON Schema."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """Of one model."""

    vendor: str = ""
    """Empty: unknown."""
    claude: ClaudeAbilities | None = None
    """What its generation takes, where it is Anthropic's."""
    instructed: bool = True
    """`system` messages."""
    structured: bool = True
    """`outputConfig.textFormat`, and `strict` tools."""
    top_k: tuple[str, ...] = ("top_k",)
    """Where `top_k` stands in `additionalModelRequestFields`; empty: nowhere."""
    effort: str = ""
    """What `reasoning_effort` is for it: `claude`, `nova`, or a field of `additionalModelRequestFields`; empty: it is
    not asked to reason."""
    cached: bool = True
    """`cachePoint` in `system` and in messages."""
    cached_tools: bool = True
    signed: bool = True
    """It takes back the thinking that it signed."""
    single: bool = False
    """It can be kept from parallel calls, in Anthropic's own `tool_choice`; Converse has no word for it."""


@lru_cache(maxsize=1024)
def abilities_of(model: str) -> Abilities:
    """By name."""
    match = _VENDOR.search(model)
    if match is None:
        return Abilities()
    vendor, name = match["vendor"], match["name"]
    if vendor == "anthropic":
        return _claude(name)
    return Abilities(
        vendor,
        instructed=not name.startswith(_UNINSTRUCTED),
        structured=vendor not in _UNSHAPED,
        top_k=_top_k(vendor, name),
        effort=_effort(vendor, name),
        cached=name.startswith("nova"),
        cached_tools=False,
        signed=False,
    )


def base_of(model: str) -> str:
    """The model behind an inference profile, where its name tells; else the same."""
    match = _VENDOR.search(model)
    return f"{match['vendor']}.{match['name']}" if match is not None else model


def is_openai(model: str) -> bool:
    """Whether OpenAI made it."""
    return abilities_of(model).vendor == "openai"


def _claude(name: str) -> Abilities:
    able = claude_abilities(name)
    return Abilities("anthropic", able, structured=able.structured, effort="claude", single=able.structured)


def _top_k(vendor: str, name: str) -> tuple[str, ...]:
    if vendor == "amazon":
        return ("inferenceConfig", "topK") if name.startswith("nova") else ()
    if vendor == "cohere":
        return ("k",)
    return () if vendor in ("meta", "ai21", "openai") else ("top_k",)


def _effort(vendor: str, name: str) -> str:
    if vendor == "amazon":
        return "nova" if name.startswith("nova-2") else ""
    return {"openai": "reasoning_effort", "qwen": "reasoning_config"}.get(vendor, "")
