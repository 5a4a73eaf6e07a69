"""`:batchEmbedContents` of the Gemini API, `:predict` of Vertex AI: vectors that follow from the text alone."""

from __future__ import annotations

from gateway.providers.scripted.openai.embeddings import DIMENSIONS, vector
from gateway.providers.scripted.openai.fields import charge, need, positive, text_of
from gateway.providers.scripted.scenario import Asked, Json, Rejected, Reply, json_reply
from gateway.providers.scripted.tokens import count

MOST_REQUESTS = 100
MOST_INSTANCES = 250
_MOST_DIMENSIONS = 3072


def batch(asked: Asked) -> Reply:
    """A vector per request."""
    requests = need(asked.body, "requests", list)
    _bounded(len(requests), MOST_REQUESTS)
    texts = [text_of(request["content"]["parts"]) for request in requests]
    vectors: list[Json] = [
        {
            "values": vector(
                text, positive(request, "outputDimensionality", most=_MOST_DIMENSIONS) or DIMENSIONS
            ).tolist()
        }
        for text, request in zip(texts, requests, strict=True)
    ]
    price = charge(asked, sum(map(count, texts)))
    usage = {} if asked.script.no_usage else {"usageMetadata": {"promptTokenCount": price.input_tokens}}
    return json_reply({"embeddings": vectors, **usage}, price)


def predict(asked: Asked) -> Reply:
    """A prediction per instance."""
    instances = need(asked.body, "instances", list)
    _bounded(len(instances), MOST_INSTANCES)
    size = positive(asked.body.get("parameters") or {}, "outputDimensionality", most=_MOST_DIMENSIONS) or DIMENSIONS
    texts = [need(instance, "content", str) for instance in instances]
    predictions: list[Json] = [
        {
            "embeddings": {
                "values": vector(text, size).tolist(),
                "statistics": {"token_count": count(text), "truncated": False},
            }
        }
        for text in texts
    ]
    return json_reply({"predictions": predictions}, charge(asked, sum(map(count, texts))))


def _bounded(number: int, most: int) -> None:
    if not 1 <= number <= most:
        raise Rejected(400, f"* BatchEmbedContentsRequest.requests: at most {most} requests can be in one batch\n")
