"""OpenRouter."""

from __future__ import annotations

from tests.providers.recordings.readers.openai import OpenAI


class Reader(OpenAI):
    """See `Reader`."""

    dialect = "openrouter"
    recorded = (("openrouter", "chat"),)


READER = Reader()
