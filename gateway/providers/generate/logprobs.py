"""Likelihoods of an answer's tokens: Gemini's two lists beside each other as OpenAI's one."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import msgspec

Json = dict[str, Any]


class Token(msgspec.Struct, gc=False, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class Top(msgspec.Struct, gc=False):
    candidates: list[Token] | None = None


class LogprobsResult(msgspec.Struct, gc=False, rename="camel"):
    chosen_candidates: list[Token] | None = None
    top_candidates: list[Top] | None = None


def logprobs_of(told: LogprobsResult) -> Json:
    """As a choice of OpenAI's has them."""
    tops = told.top_candidates or []
    chosen = (told.chosen_candidates or [])[:MAX_TOKENS]
    pairs = zip_longest(chosen, tops[: len(chosen)], fillvalue=None)
    content = [
        {
            **_entry(token),
            "top_logprobs": [_entry(one) for one in (top.candidates or ())] if isinstance(top, Top) else [],
        }
        for token, top in pairs
        if isinstance(token, Token)
    ]
    return {"content": content, "refusal": None}


MAX_TOKENS = 1 << 20


def _entry(token: Token) -> Json:
    return {"token": token.token, "logprob": token.log_probability, "bytes": list(token.token.encode())}
