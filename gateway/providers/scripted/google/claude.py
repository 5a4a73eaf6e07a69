"""`:rawPredict` and `:streamRawPredict`: Anthropic's API behind Vertex AI's address."""

from __future__ import annotations

from dataclasses import replace

from gateway.providers.scripted.anthropic.messages import messages
from gateway.providers.scripted.openai.fields import need
from gateway.providers.scripted.scenario import Asked, Reply


def raw_predict(asked: Asked) -> Reply:
    """As `/messages` answers; the version of the API is in the body, the model is not."""
    need(asked.body, "anthropic_version", str)
    return messages(replace(asked, body={**asked.body, "model": asked.model}))
