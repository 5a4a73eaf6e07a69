"""A provider of every type that has chat, with the scripted provider behind it: found by discovery."""

from __future__ import annotations

from typing import Any

from gateway.providers import discover
from gateway.types import Service

TYPES = tuple(sorted(name for name, one in discover().items() if Service.CHAT in one.services))
MODEL_OF = {
    "bedrock": ("any", "anthropic.claude-sonnet-4-5"),
    "mistral": ("mock-fault/usage-unasked",),
    "mock": ("mock-small",),
    "vertex": ("gemini-3-flash-preview", "claude-sonnet-4-6"),
}
"""Of types that tell by a model's name how it is spoken to, that serve no other, or that send usage unasked."""
MODELS = [f"{name}/{model}" for name in TYPES for model in MODEL_OF.get(name, ("any",))]


def provider_of(name: str, mock: str) -> dict[str, Any]:
    """How a provider of this type is set up, with the scripted provider behind it."""
    root = mock.removesuffix("/v1")
    common = {"type": name, "base_url": mock, "allow_private_network": True, "retry_attempts": 0}
    own: dict[str, dict[str, Any]] = {
        "azure": {"base_url": f"{mock}/openai/v1", "api_key": "a-credential"},
        "bedrock": {"region": "eu-west-1", "access_key_id": "an-id", "secret_access_key": "a-credential"},
        "cohere": {"base_url": f"{root}/v2", "api_key": "a-credential"},
        "vertex": {"project": "mine", "location": "global", "access_token": "a-credential"},
        "watsonx": {"api_url": root, "iam_url": root, "project_id": "mine", "api_key": "a-credential"},
        "ollama": {},
        "vllm": {},
    }
    fields = common | own.get(name, {"api_key": "a-credential"})
    if name == "watsonx":
        del fields["base_url"]
        fields["unsupported"] = "drop"  # `strict`, which the SDKs' helpers set
    if name == "mock":
        return {"type": name}
    return fields
