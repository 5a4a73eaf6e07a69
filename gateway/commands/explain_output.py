"""How an explanation looks: lines for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from gateway.explaining.words import as_dict

if TYPE_CHECKING:
    from gateway.explaining import Explanation
    from gateway.registry.snapshot import Snapshot
    from gateway.types import Call

RULE = "rule:"
"""How the reason begins of who is left out because no rule leads there."""
MODEL = "model"


def as_json(found: Explanation, call: Call, snapshot: Snapshot) -> str:
    """For programs."""
    return orjson.dumps(as_dict(found, call, snapshot), option=orjson.OPT_INDENT_2).decode()


def as_text(found: Explanation, call: Call, snapshot: Snapshot) -> str:
    """For people."""
    return "\n".join(_lines(as_dict(found, call, snapshot)))


def _lines(told: dict[str, Any]) -> Iterator[str]:
    asked = told["request"]
    needs = f", needs {', '.join(asked['needs'])}" if asked["needs"] else ""
    streamed = ", streamed" if asked["stream"] else ""
    yield f"request   {asked['service']} for {asked['model']}{streamed}{needs}, {asked['context_tokens']} tokens"
    if told["model"] != asked["model"]:
        yield f"means     {told['model']}"
    if told["downgraded_to"]:
        yield f"downgrade a quota is used up and switches to {told['downgraded_to']}"
    yield from _passed(told["passed"])
    if told["route"] is not None:
        yield f"route     {told['route']} ({told['strategy']}), revision {told['revision']}"
    for number, one in enumerate(told["candidates"], 1):
        yield f"{number:>8}. {one['deployment']}"
    yield from _left_out(told["left_out"])
    if told["refusal"] is not None:
        refusal = told["refusal"]
        code = f" {refusal['code']}" if refusal["code"] else ""
        yield f"refused   {refusal['status']}{code}: {refusal['message']}"
    for note in told["notes"]:
        yield f"note      {note}"


def _passed(passed: list[dict[str, Any]]) -> Iterator[str]:
    """One line for each route that might have been meant, and one for all that are for other models."""
    others = [one for one in passed if MODEL in one["conditions"]]
    if others:
        names = ", ".join(one["route"] for one in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        yield f"passed    {names}{more}: for other models"
    for one in passed:
        if MODEL not in one["conditions"]:
            yield f"passed    {one['route']}: not its {', '.join(one['conditions'])}"


def _left_out(left_out: list[dict[str, str]]) -> Iterator[str]:
    """One line for each, but for the many that no rule leads to."""
    others = [one for one in left_out if one["reason"].startswith(RULE)]
    for one in left_out:
        if not one["reason"].startswith(RULE):
            yield f"left out  {one['deployment']}: {one['reason']}"
    if others:
        names = ", ".join(one["deployment"] for one in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        yield f"left out  {names}{more}: {others[0]['reason']}"
