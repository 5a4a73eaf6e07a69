"""What Converse refuses, and translators trip over, in its own words."""

from __future__ import annotations

import re

from gateway.providers.scripted.scenario import Json, Rejected

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_FORMATS = frozenset({"png", "jpeg", "gif", "webp"})


def check(body: Json, messages: list[Json]) -> None:
    """Raises Rejected."""
    if not messages or messages[0].get("role") != "user":
        raise Rejected(400, "A conversation must start with a user message. Try again with a conversation that does.")
    if body.get("system") == [] or any(block.get("text") == "" for block in body.get("system") or ()):
        raise Rejected(400, "The text field in the system prompt is blank. Add text to it, and try again.")
    called: list[str] = []
    used = False
    for index, message in enumerate(messages):
        if index and message.get("role") == messages[index - 1].get("role"):
            raise Rejected(400, "A conversation must alternate between user and assistant roles.")
        answered = _blocks(index, message)
        if answered != called:
            raise Rejected(
                400,
                f"Expected toolResult blocks at messages.{index}.content for the following Ids: {', '.join(called)}",
            )
        called = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        used = used or bool(called)
    own = (body.get("additionalModelRequestFields") or {}).get("tool_choice")
    if own is not None and (body.get("toolConfig") or {}).get("toolChoice") is not None:
        raise Rejected(400, "The additional field tool_choice conflicts with toolConfig.toolChoice.")
    if used and not (body.get("toolConfig") or {}).get("tools"):
        raise Rejected(400, "The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    if body.get("toolConfig") is not None and not body["toolConfig"].get("tools"):
        raise Rejected(400, "The value at toolConfig.tools must have length greater than or equal to 1.")


def _blocks(index: int, message: Json) -> list[str]:
    """The calls that a message answers, after its blocks were looked at."""
    answered: list[str] = []
    if message["content"] and all("text" in block and not block["text"].strip() for block in message["content"]):
        raise Rejected(400, f"The text field in the ContentBlock object at messages.{index}.content is blank.")
    for block in message["content"]:
        if block.get("text") == "":
            raise Rejected(400, f"The text field in the ContentBlock object at messages.{index}.content is blank.")
        if "image" in block and block["image"].get("format") not in _FORMATS:
            raise Rejected(400, f"Value at messages.{index}.content.image.format failed to satisfy constraint.")
        if "toolUse" in block and not (
            _NAME.fullmatch(block["toolUse"]["name"]) and _ID.fullmatch(block["toolUse"]["toolUseId"])
        ):
            raise Rejected(400, f"Value at messages.{index}.content.toolUse failed to satisfy regular expression.")
        if "toolResult" in block:
            answered.append(block["toolResult"]["toolUseId"])
    return answered
