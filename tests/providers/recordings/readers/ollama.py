"""Ollama."""

from __future__ import annotations

from typing import Any

from tests.providers.recordings.readers.openai import OpenAI


class Reader(OpenAI):
    """See `Reader`."""

    dialect = "ollama"
    recorded = (("ollama", "chat"),)

    def taken(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """Reasoning goes back under one name."""
        messages = [
            {"reasoning": message["reasoning_content"], **message} if "reasoning_content" in message else message
            for message in recorded["messages"]
        ]
        messages = [{k: v for k, v in message.items() if k != "reasoning_content"} for message in messages]
        return {**recorded, "messages": messages}


READER = Reader()
