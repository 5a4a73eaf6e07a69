"""`provider.config.toml`, said in our YAML."""

from __future__ import annotations

import pytest

from gateway.registry.problems import ConfigError

from .conftest import Import

TEXT = """
[provider.cloud.openai]
api_key = "OPENAI_API_KEY"
base_url = "https://api.openai.com/v1"
models = ["gpt-4-vision", "gpt-4"]

[provider.cloud.gemini]
api_key = "AIza-a-literal-key-of-somebody"
models = ["gemini-2.0-flash"]

[providers.custom.ollama]
api_key = "CUSTOM_KEY"
base_url = "http://localhost:11434"
fetch_models = true

[providers.custom.box]
base_url = "http://box:8000/v1"
flavour = "mild"
"""


def test_a_whole_file(take: Import) -> None:
    """Cloud providers and custom ones, with their keys by variable, models and addresses."""
    found = take(TEXT, "provider.config.toml")
    assert found.document["providers"] == {
        "openai": {
            "type": "openai",
            "base_url": "https://api.openai.com/v1",
            "api_key": "${OPENAI_API_KEY}",
            "models": ["gpt-4-vision", "gpt-4"],
        },
        "gemini": {"type": "gemini", "api_key": "${GEMINI_API_KEY}", "models": ["gemini-2.0-flash"]},
        "ollama": {
            "type": "ollama",
            "base_url": "http://localhost:11434",
            "api_key": "${CUSTOM_KEY:-}",
            "fetch_models": True,
        },
        "box": {"type": "openai_compatible", "base_url": "http://box:8000/v1", "allow_private_network": True},
    }
    assert "AIza" not in found.text
    assert "set the variable GEMINI_API_KEY to the credential that stands in plain text" in found.comments
    assert "provider.config.toml:8:11" in found.comments
    assert "`flavour` was not carried over: nothing here corresponds to it" in found.comments
    assert "provider.config.toml:18:11)" in found.comments


def test_custom_providers_work_without_a_key(take: Import) -> None:
    """Without variables the local ones are active, the others wait for theirs."""
    providers = take(TEXT, "provider.config.toml").loaded.snapshot.providers
    assert {name: provider.status for name, provider in providers.items()} == {
        "openai": "inactive",
        "gemini": "inactive",
        "ollama": "active",
        "box": "active",
    }


def test_the_same_name_twice(take: Import) -> None:
    """A custom provider with the name of a cloud one gets a number."""
    text = '[provider.cloud.openai]\napi_key = "K"\n[providers.custom.openai]\nbase_url = "https://x.example/v1"\n'
    found = take(text, "provider.config.toml").document["providers"]
    assert found["openai"]["type"] == "openai"
    assert found["openai-2"]["type"] == "openai_compatible"


def test_gemini_by_openais_api(take: Import) -> None:
    """An address that ends in `/openai` speaks OpenAI's dialect, whatever the provider is called."""
    text = (
        "[provider.cloud.gemini]\napi_key = 'GEMINI_KEY'\n"
        "base_url = 'https://generativelanguage.googleapis.com/v1beta/openai/'\n"
    )
    (provider,) = take(text, "provider.config.toml").document["providers"].values()
    assert provider["type"] == "openai_compatible"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[provider.cloud.openai\n", "provider.config.toml:1:"),
        ("[provider.cloud]\nopenai = 3\n", "no provider could be carried over"),
        ("[providers.custom.x]\nmodels = ['a']\n", "no provider could be carried over"),
        ("[other]\n", "neither a `provider.config.toml`"),
    ],
)
def test_what_cannot_be_imported(text: str, expected: str, take: Import) -> None:
    """The error has its place and says what to do."""
    with pytest.raises(ConfigError) as caught:
        take(text, "provider.config.toml")
    assert expected in str(caught.value)
