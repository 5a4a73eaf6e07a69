"""Mistral."""

from __future__ import annotations

from collections.abc import Mapping

from tests.providers.recordings.readers.openai import OpenAI


class Reader(OpenAI):
    """See `Reader`."""

    dialect = "mistral"
    recorded = (("mistral", "chat"),)
    names: Mapping[str, str] = {"random_seed": "seed"}


READER = Reader()
