"""`:rawPredict` and `:streamRawPredict`: Anthropic's API behind Vertex AI's address."""

from __future__ import annotations

from dataclasses import replace

from gateway.providers.scripted.anthropic.messages import count_tokens, messages
from gateway.providers.scripted.openai.fields import need
from gateway.providers.scripted.scenario import Asked, Reply


def raw_predict(asked: Asked) -> Reply:
    """As `/messages` answers; the version of the API is in the body, the model is not, but for who counts tokens."""
    need(asked.body, "anthropic_version", str)
    if asked.params.get("model") == "count-tokens":
        need(asked.body, "model", str)
        return count_tokens(asked)
    return messages(replace(asked, body={**asked.body, "model": asked.model}))
