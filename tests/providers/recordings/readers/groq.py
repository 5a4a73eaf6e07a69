"""Groq."""

from __future__ import annotations

from tests.providers.recordings.readers.openai import OpenAI


class Reader(OpenAI):
    """See `Reader`."""

    dialect = "groq"
    recorded = (("groq", "chat"),)


READER = Reader()
