"""The `usage` objects and log probabilities of OpenAI's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.providers.scripted.tokens import pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.providers.scripted.scenario import Charge, Json
    from gateway.providers.scripted.turn import Turn


def chat_usage(price: Charge, turns: Sequence[Turn]) -> Json:
    """As chat and completions report it, over all choices."""
    output = sum(turn.tokens for turn in turns)
    reasoning = sum(turn.reasoning_tokens for turn in turns)
    return {
        "prompt_tokens": price.input_tokens,
        "completion_tokens": output,
        "total_tokens": price.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": price.cached_input_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def responses_usage(price: Charge, turn: Turn) -> Json:
    """As responses report it."""
    return {
        "input_tokens": price.input_tokens,
        "input_tokens_details": {"cached_tokens": price.cached_input_tokens, "cache_write_tokens": 0},
        "output_tokens": turn.tokens,
        "output_tokens_details": {"reasoning_tokens": turn.reasoning_tokens},
        "total_tokens": price.input_tokens + turn.tokens,
    }


def logprobs(text: str) -> dict[str, Any]:
    """Every token at the same probability, without alternatives."""
    content = [
        {"token": piece, "logprob": -0.5, "bytes": list(piece.encode()), "top_logprobs": []} for piece in pieces(text)
    ]
    return {"content": content, "refusal": None}
