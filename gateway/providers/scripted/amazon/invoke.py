"""`/invoke`: Claude, vectors of Titan's, Nova's and Cohere's models, and rankings, each told by its body."""

from __future__ import annotations

from dataclasses import replace

from gateway.providers.scripted.amazon.claude import claude
from gateway.providers.scripted.openai.embeddings import DIMENSIONS, vector
from gateway.providers.scripted.openai.fields import charge, need, positive
from gateway.providers.scripted.openai.small import ranked
from gateway.providers.scripted.scenario import Asked, Json, Rejected, Reply, json_reply
from gateway.providers.scripted.tokens import count

MOST_TEXTS = 96
_MOST_DIMENSIONS = 3072


def invoke(asked: Asked) -> Reply:
    """By what stands in the body."""
    body = asked.body
    if "anthropic_version" in body:
        return claude(asked)
    if "query" in body:
        return _rank(asked)
    if "texts" in body:
        return _cohere(asked)
    return _nova(asked) if "taskType" in body else _titan(asked)


def _titan(asked: Asked) -> Reply:
    text = need(asked.body, "inputText", str)
    numbers = vector(text, positive(asked.body, "dimensions", most=_MOST_DIMENSIONS) or DIMENSIONS).tolist()
    return _counted(asked, {"embedding": numbers, "inputTextTokenCount": count(text)}, count(text))


def _nova(asked: Asked) -> Reply:
    given = need(asked.body, "singleEmbeddingParams", dict)
    text = need(need(given, "text", dict), "value", str)
    need(given, "embeddingPurpose", str)
    numbers = vector(text, positive(given, "embeddingDimension", most=_MOST_DIMENSIONS) or DIMENSIONS).tolist()
    return _counted(asked, {"embeddings": [{"embedding": numbers, "embeddingType": "TEXT"}]}, count(text))


def _cohere(asked: Asked) -> Reply:
    texts = need(asked.body, "texts", list)
    need(asked.body, "input_type", str)
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise Rejected(400, f"Malformed input request: #/texts: expected maximum item count: {MOST_TEXTS}")
    size = positive(asked.body, "output_dimension", most=_MOST_DIMENSIONS) or DIMENSIONS
    answer: Json = {"embeddings": [vector(text, size).tolist() for text in texts], "texts": texts}
    return _counted(asked, {**answer, "response_type": "embeddings_floats"}, sum(map(count, texts)))


def _rank(asked: Asked) -> Reply:
    query, documents = need(asked.body, "query", str), need(asked.body, "documents", list)
    if "cohere." in asked.model and asked.body.get("api_version") != 2:
        raise Rejected(400, "Malformed input request: #/api_version: 1 is not greater or equal to 2")
    scores = ranked(query, documents)[: positive(asked.body, "top_n")]
    results = [{"index": index, "relevance_score": score} for index, score in scores]
    return json_reply({"results": results}, charge(replace(asked, service="rerank"), 0))


def _counted(asked: Asked, answer: Json, tokens: int) -> Reply:
    """The count stands in a header."""
    price = charge(asked, tokens)
    reply = json_reply(answer, price)
    if asked.script.no_usage:
        return reply
    return replace(reply, headers=((b"x-amzn-bedrock-input-token-count", b"%d" % price.input_tokens),))
