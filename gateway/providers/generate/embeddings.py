"""Embeddings: the words that Google has for what vectors are for."""

from __future__ import annotations

import msgspec

from gateway.providers.chat.losses import Losses
from gateway.providers.services import embeddings
from gateway.types import Call, Deployment

_TASKS = {
    "search_document": "RETRIEVAL_DOCUMENT",
    "search_query": "RETRIEVAL_QUERY",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
"""`input_type` as Cohere's API has it, a word that several providers know; Google's own words pass too."""


class Ask(msgspec.Struct):
    """What is to be embedded."""

    texts: list[str]
    dimensions: int | None = None
    task: str | None = None


def read_ask(call: Call, deployment: Deployment, losses: Losses) -> Ask:
    """Raises InvalidRequest."""
    ask = embeddings.read_ask(call, deployment, losses)
    wanted = ask.input_type
    return Ask(ask.texts, ask.dimensions, _TASKS.get(wanted, wanted.upper()) if wanted else None)
