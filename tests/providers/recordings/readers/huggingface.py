"""Hugging Face, and who answers behind it."""

from __future__ import annotations

from typing import Any

from tests.providers.recordings.readers.openai import OpenAI


class Reader(OpenAI):
    """See `Reader`."""

    dialect = "huggingface"
    recorded = (("huggingface", "chat"),)

    def taken(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """Members that are null are left out, but for contents."""
        messages = [
            {name: value for name, value in message.items() if value is not None or name == "content"}
            for message in recorded["messages"]
        ]
        return {**recorded, "messages": messages}


READER = Reader()
