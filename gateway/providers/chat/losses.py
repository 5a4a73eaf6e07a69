"""What a provider's API cannot say: refused or left out, as the provider's `unsupported` says. Never silently changed.

Three kinds of loss:

- hints, which change no answer (`store`, `prompt_cache_key`, …): left out everywhere, as the documents say;
- parameters that change the answer: refused with `unsupported: error`, left out with `drop`;
- content (a sound for a model that hears none): always refused, there is no answer without it.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import UnsupportedParameter
from gateway.providers.chat.request import ChatRequest
from gateway.types import Provider

HINTS = frozenset(
    {
        "store",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "prediction",
        "service_tier",
        "stream_options",
    }
)
"""Fields that steer storage, caches, speed or bookkeeping of OpenAI's own service: left out everywhere."""

# Fields that change the answer, and when a value is as good as absent.
_ASKS: dict[str, Callable[[ChatRequest], bool]] = {
    "n": lambda chat: chat.n is not None and chat.n > 1,
    "seed": lambda chat: chat.seed is not None,
    "logprobs": lambda chat: bool(chat.logprobs),
    "top_logprobs": lambda chat: bool(chat.top_logprobs),
    "logit_bias": lambda chat: bool(chat.logit_bias),
    "frequency_penalty": lambda chat: bool(chat.frequency_penalty),
    "presence_penalty": lambda chat: bool(chat.presence_penalty),
    "temperature": lambda chat: chat.temperature is not None,
    "top_p": lambda chat: chat.top_p is not None,
    "top_k": lambda chat: chat.top_k is not None,
    "stop": lambda chat: bool(chat.stop),
    "reasoning_effort": lambda chat: chat.reasoning_effort is not None,
    "thinking": lambda chat: chat.thinking is not None,
    "verbosity": lambda chat: chat.verbosity not in (None, "medium"),
    "modalities": lambda chat: chat.modalities not in (None, [], ["text"]),
    "audio": lambda chat: chat.audio is not None,
    "web_search_options": lambda chat: chat.web_search_options is not None,
    "parallel_tool_calls": lambda chat: chat.parallel_tool_calls is False and bool(chat.tools),
    "response_format": lambda chat: chat.response_format is not None and chat.response_format.type != "text",
    "cache_control": lambda chat: chat.cache_control is not None,
    "safety_settings": lambda chat: bool(chat.safety_settings),
    "documents": lambda chat: bool(chat.documents),
    "citation_options": lambda chat: chat.citation_options is not None,
    "safety_mode": lambda chat: chat.safety_mode is not None,
    "guardrail_config": lambda chat: bool(chat.guardrail_config),
    "additional_model_request_fields": lambda chat: bool(chat.additional_model_request_fields),
}


class Losses:
    """Decides what becomes of what one request loses on its way."""

    __slots__ = ("_drop", "what")

    def __init__(self, provider: Provider) -> None:
        self._drop = provider.unsupported == "drop"
        self.what = provider.type
        """Whose API it is, for messages."""

    def parameter(self, param: str, advice: str = "") -> None:
        """A parameter that changes the answer is lost. Raises UnsupportedParameter unless the operator chose `drop`."""
        if not self._drop:
            raise UnsupportedParameter(
                f"`{param}` is not supported by this model's provider ({self.what})."
                f" {advice or 'Leave it out, or use a model of another provider.'}",
                param=param,
            )

    def content(self, param: str, what: str, advice: str = "") -> UnsupportedParameter:
        """The error for content that cannot be carried over, to raise: `what` stands at `param`."""
        text = f"This model's provider ({self.what}) does not take {what}. {advice or 'Use another model for it.'}"
        return UnsupportedParameter(text, param=param)

    def check(self, chat: ChatRequest, spoken: frozenset[str]) -> None:
        """Every field that is set and not among those the dialect carries over (`spoken`).

        Raises UnsupportedParameter for the first that must not be dropped.
        """
        for param, asks in _ASKS.items():
            if param not in spoken and asks(chat):
                self.parameter(param)
        for index, tool in enumerate(chat.tools or ()):
            if tool.type != "function":
                self.parameter(f"tools[{index}].type", "Only tools of type `function` are.")
        for param in chat.unknown:
            if param not in spoken and param not in HINTS:
                self.parameter(param)
        for index, message in enumerate(chat.messages):
            if message.audio is not None:
                raise self.content(f"messages[{index}].audio", "sound that it made before")
            if message.images and "modalities" not in spoken:
                raise self.content(f"messages[{index}].images", "pictures that a model made before")
