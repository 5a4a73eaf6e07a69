"""`/embeddings`: unit vectors that follow from the input's text alone."""

from __future__ import annotations

import math
import sys
from array import array
from base64 import b64encode
from hashlib import shake_128
from typing import Any

from gateway.providers.scripted.openai.completions import prompts_of
from gateway.providers.scripted.openai.fields import charge, need, positive
from gateway.providers.scripted.scenario import Asked, Rejected, Reply, json_reply

DIMENSIONS = 256
_MAX_NUMBERS = 2048 * 3072
"""In one answer: as many inputs as OpenAI takes, at its largest vectors."""


def embeddings(asked: Asked) -> Reply:
    """One vector per input, as floats or as base64 of little-endian float32."""
    body = asked.body
    need(body, "model", str)
    inputs = prompts_of(need(body, "input", (str, list)))
    if not inputs or any(not text for text, _ in inputs):
        raise Rejected(400, "'input' cannot be empty.", param="input")
    size = positive(body, "dimensions", most=8192) or DIMENSIONS
    if len(inputs) * size > _MAX_NUMBERS:
        raise Rejected(400, f"The vectors would have more than {_MAX_NUMBERS} numbers: send fewer inputs.")
    packed = body.get("encoding_format") == "base64"
    price = charge(asked, sum(tokens for _, tokens in inputs))
    answer: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _encoded(vector(text, size), packed=packed)}
            for index, (text, _) in enumerate(inputs)
        ],
        "model": asked.model,
    }
    if not asked.script.no_usage:
        answer["usage"] = {"prompt_tokens": price.input_tokens, "total_tokens": price.input_tokens}
    return json_reply(answer, price)


def vector(text: str, size: int) -> array[float]:
    """A unit vector of float32, the same for the same text and size."""
    raw = array("h", shake_128(text.encode("utf-8", "surrogatepass")).digest(2 * size))
    if sys.byteorder == "big":
        raw.byteswap()
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return array("f", [value / length for value in raw])


def _encoded(values: array[float], *, packed: bool) -> list[float] | str:
    if not packed:
        return values.tolist()
    if sys.byteorder == "big":
        values.byteswap()
    return b64encode(values.tobytes()).decode()
