"""The small endpoints: models, moderations, rerank."""

from __future__ import annotations

from typing import Any

from gateway.providers.scripted.openai.completions import prompts_of
from gateway.providers.scripted.openai.fields import charge, need, positive, text_of
from gateway.providers.scripted.scenario import Asked, Charge, Json, Rejected, Reply, json_reply
from gateway.providers.scripted.script import MARK
from gateway.providers.scripted.tokens import count

MODELS = ("mock-small", "mock-large", "mock-embed", "mock-image", "mock-audio", "mock-moderation", "mock-rerank")
MOST_TEXTS = 32
_CREATED = 1_750_000_000
_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def models(asked: Asked) -> Reply:
    """The plain models; every other name is served too, but not listed."""
    return json_reply({"object": "list", "data": [_model(name) for name in MODELS]}, Charge("models"))


def model(asked: Asked) -> Reply:
    """One model; fault models exist, other names do not."""
    name = asked.params["model"]
    if name not in MODELS and MARK not in name:
        raise Rejected(404, f"The model '{name}' does not exist.", param="model", code="model_not_found")
    return json_reply(_model(name), Charge("models"))


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "mock"}


def moderations(asked: Asked) -> Reply:
    """A text is flagged for every category whose name it contains."""
    given = need(asked.body, "input", (str, list))
    parts = given if isinstance(given, list) and given and isinstance(given[0], dict) else None
    texts = [text_of(parts)] if parts else [text for text, _ in prompts_of(given)]
    answer = {
        "id": f"modr-{asked.request.digest[:24]}",
        "model": asked.model or "mock-moderation",
        "results": [_moderation(text) for text in texts],
    }
    return json_reply(answer, charge(asked, sum(map(count, texts))))


def _moderation(text: str) -> Json:
    flags = {name: name in text.lower() for name in _CATEGORIES}
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": {name: 0.99 if flag else 0.01 for name, flag in flags.items()},
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }


def rerank(asked: Asked) -> Reply:
    """Documents by the share of the query's words they hold; equal ones in the order they came."""
    body = asked.body
    query = need(body, "query", str)
    if "texts" in body:
        return _scores(asked, query)
    documents = [_document(item) for item in need(body, "documents", list)]
    most = positive(body, "top_n") or len(documents)
    scores = ranked(query, documents)
    results: list[Json] = []
    for index, score in scores[:most]:
        shown: Json = {"document": {"text": documents[index]}} if body.get("return_documents") else {}
        results.append({"index": index, "relevance_score": score, **shown})
    price = charge(asked, count(query) + sum(map(count, documents)))
    usage = {"prompt_tokens": price.input_tokens, "total_tokens": price.input_tokens}
    answer = {"id": f"rerank-{asked.request.digest[:24]}", "model": asked.model, "results": results, "usage": usage}
    return json_reply(answer, price)


def _scores(asked: Asked, query: str) -> Reply:
    """As Text Embeddings Inference has it, which takes 32 texts of one call unless it is told otherwise."""
    texts = need(asked.body, "texts", list)
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise Rejected(422, f"batch size {len(texts)} > maximum allowed batch size {MOST_TEXTS}")
    scores: list[Json] = [{"index": index, "score": score} for index, score in ranked(query, texts)]
    return json_reply(scores, charge(asked, count(query) + sum(map(count, texts))))


def ranked(query: str, documents: list[str]) -> list[tuple[int, float]]:
    """Index and score of each, the best first."""
    return sorted(((index, _score(query, text)) for index, text in enumerate(documents)), key=lambda one: -one[1])


def _document(item: Any) -> str:
    return item if isinstance(item, str) else str(item.get("text", "")) if isinstance(item, dict) else str(item)


def _score(query: str, text: str) -> float:
    words, held = set(query.lower().split()), set(text.lower().split())
    return round(len(words & held) / len(words), 6) if words else 0.0
