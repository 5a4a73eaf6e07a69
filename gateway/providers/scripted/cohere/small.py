"""`/v2/embed`, `/v2/rerank` and `/v2/audio/transcriptions`."""

from __future__ import annotations

from gateway.providers.scripted.multipart import parse_form
from gateway.providers.scripted.openai.audio import heard
from gateway.providers.scripted.openai.embeddings import DIMENSIONS, vector
from gateway.providers.scripted.openai.fields import charge, need, positive
from gateway.providers.scripted.openai.small import ranked
from gateway.providers.scripted.scenario import Asked, Json, Rejected, Reply, json_reply
from gateway.providers.scripted.tokens import count

MOST_TEXTS = 96
MOST_DIMENSIONS = 1536
DOCUMENTS_PER_SEARCH = 100
_PURPOSES = frozenset({"search_document", "search_query", "classification", "clustering", "image"})


def embed(asked: Asked) -> Reply:
    """A vector per text, as numbers."""
    body = asked.body
    texts = need(body, "texts", list)
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise Rejected(400, f"invalid request: total number of texts must be at most {MOST_TEXTS} - received more")
    if need(body, "input_type", str) not in _PURPOSES:
        raise Rejected(400, "invalid request: valid input_type must be provided with the provided model")
    size = positive(body, "output_dimension", most=MOST_DIMENSIONS) or DIMENSIONS
    price = charge(asked, sum(map(count, texts)))
    answer: Json = {
        "id": asked.request.digest,
        "texts": texts,
        "embeddings": {"float": [vector(text, size).tolist() for text in texts]},
        "response_type": "embeddings_by_type",
    }
    if not asked.script.no_usage:
        answer["meta"] = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": price.input_tokens}}
    return json_reply(answer, price)


def rerank(asked: Asked) -> Reply:
    """Documents by the share of the query's words they hold. They must be text: this version takes no objects."""
    body = asked.body
    query, documents = need(body, "query", str), need(body, "documents", list)
    if not documents or not all(isinstance(document, str) for document in documents):
        raise Rejected(400, "invalid request: documents must be a list of strings")
    if "return_documents" in body:
        raise Rejected(422, "unknown field: parameter 'return_documents' is not a valid field")
    scores = ranked(query, documents)[: positive(body, "top_n")]
    searches = -(-len(documents) // DOCUMENTS_PER_SEARCH)
    answer = {
        "id": asked.request.digest,
        "results": [{"index": index, "relevance_score": score} for index, score in scores],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": searches}},
    }
    return json_reply(answer, charge(asked, 0))


def transcribe(asked: Asked) -> Reply:
    """The text, and nothing else."""
    form = parse_form(asked.request.header(b"content-type"), asked.request.body)
    if not form.fields.get("language"):
        raise Rejected(400, "invalid request: language is required")
    for name in form.fields:
        if name not in ("model", "language", "temperature"):
            raise Rejected(422, f"unknown field: parameter '{name}' is not a valid field")
    text, size = heard(form)
    return json_reply({"text": text}, charge(asked, max(1, size // 100)), count(text))
