"""Pieces of LiteLLM's files."""

from __future__ import annotations

from typing import Any

AZURE = """
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://my-resource.openai.azure.com/
      api_key: os.environ/AZURE_KEY_EU
      api_version: "2024-10-21"
      rpm: 6
      tpm: 100000
"""
OPENAI = """
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      temperature: 0.2
      rpm: 12
    model_info:
      max_input_tokens: 128000
      input_cost_per_token: 0.0000025
      output_cost_per_token: 0.00001
"""
CLAUDE = """
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-4-5, api_key: os.environ/ANTHROPIC_API_KEY}
"""
LOCAL = """
  - model_name: local
    litellm_params: {model: ollama/llama3, api_base: "http://localhost:11434"}
"""


def models(*entries: str) -> str:
    """A `model_list` of these entries."""
    return "model_list:" + "".join(entries)


def route(document: dict[str, Any], name: str) -> Any:
    """The route of this name."""
    return next(found for found in document["routes"] if found["name"] == name)
