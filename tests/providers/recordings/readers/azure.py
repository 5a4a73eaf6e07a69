"""Azure OpenAI, and Foundry's other models."""

from __future__ import annotations

from tests.providers.recordings.readers.openai import OpenAI


class Reader(OpenAI):
    """See `Reader`."""

    dialect = "azure"
    recorded = (("azure", "chat"),)


READER = Reader()
