"""Servers that are reached by their address alone."""

from __future__ import annotations

from tests.providers.recordings.readers.openai import OpenAI


class Reader(OpenAI):
    """See `Reader`."""

    dialect = "openai_compatible"
    recorded = tuple(
        (name, "chat") for name in ("alibaba", "cerebras", "moonshot", "perplexity", "vercel-gateway", "zai")
    )


READER = Reader()
