"""Embeddings, rerank, the list of models, and tokens in exchange for keys."""

from __future__ import annotations

from gateway.providers.scripted.openai.embeddings import DIMENSIONS, vector
from gateway.providers.scripted.openai.fields import charge, need, positive
from gateway.providers.scripted.openai.small import MODELS, ranked
from gateway.providers.scripted.scenario import Asked, Charge, Json, Rejected, Reply, json_reply
from gateway.providers.scripted.tokens import count

TOKEN = "mock-iam-token"  # noqa: S105 - it opens the mock alone
MOST_INPUTS = 1000
_GRANT = "urn:ibm:params:oauth:grant-type:apikey"


def token(asked: Asked) -> Reply:
    """A token for any key."""
    if asked.body.get("grant_type") != _GRANT or not asked.body.get("apikey"):
        raise Rejected(400, "Provided API key could not be found.")
    granted = {"access_token": TOKEN, "refresh_token": "not_supported", "token_type": "Bearer", "expires_in": 3600}
    return json_reply(granted, Charge("token"))


def admit(asked: Asked, *, deployed: bool = False) -> None:
    """Raises Rejected without a token of ours, or without somebody who pays; a deployment has that already."""
    if asked.request.header(b"authorization") != f"Bearer {TOKEN}":
        raise Rejected(401, "Failed to authenticate the request due to an expired token")
    payers = [name for name in ("project_id", "space_id") if asked.body.get(name)]
    if len(payers) != (0 if deployed else 1):
        raise Rejected(400, "either space_id or project_id has to be given")


def embeddings(asked: Asked) -> Reply:
    """A vector per input."""
    admit(asked)
    inputs = need(asked.body, "inputs", list)
    if not 1 <= len(inputs) <= MOST_INPUTS:
        raise Rejected(400, f"at most {MOST_INPUTS} inputs")
    price = charge(asked, sum(map(count, inputs)))
    answer: Json = {
        "model_id": asked.model,
        "results": [{"embedding": vector(one, DIMENSIONS).tolist()} for one in inputs],
    }
    if not asked.script.no_usage:
        answer["input_token_count"] = price.input_tokens
    return json_reply(answer, price)


def rerank(asked: Asked) -> Reply:
    """Inputs by the share of the query's words they hold."""
    admit(asked)
    query = need(asked.body, "query", str)
    texts = [need(one, "text", str) for one in need(asked.body, "inputs", list)]
    options = (asked.body.get("parameters") or {}).get("return_options") or {}
    scores = ranked(query, texts)[: positive(options, "top_n")]
    price = charge(asked, count(query) + sum(map(count, texts)))
    answer: Json = {
        "model_id": asked.model,
        "results": [{"index": index, "score": score} for index, score in scores],
        "input_token_count": price.input_tokens,
    }
    return json_reply(answer, price)


def models(asked: Asked) -> Reply:
    """The plain models; every other name is served too, but not listed."""
    return json_reply(
        {"total_count": len(MODELS), "resources": [{"model_id": name} for name in MODELS]}, Charge("models")
    )
