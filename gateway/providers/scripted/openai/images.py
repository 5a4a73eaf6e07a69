"""`/images/*`: one pixel in a colour that follows from the request, always as base64."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from typing import Any

from gateway.providers.scripted.multipart import parse_form
from gateway.providers.scripted.openai.fields import charge, need, positive
from gateway.providers.scripted.scenario import Asked, Charge, Json, Rejected, Reply, event, json_reply, stream_reply
from gateway.providers.scripted.tokens import count

_OUTPUT_TOKENS = 16
_IMAGE_TOKENS = 85


def generate(asked: Asked) -> Reply:
    """Images from a prompt; `stream` sends each as one completed event, after as many `partial_images` as asked for."""
    body = asked.body
    prompt = need(body, "prompt", str)
    number = positive(body, "n", most=10) or 1
    price = charge(asked, count(prompt), stream=bool(body.get("stream")))
    partial = _partial(body.get("partial_images"))
    return (
        _events(asked, (number, partial), price, "image_generation") if price.stream else _answer(asked, number, price)
    )


def alter(asked: Asked) -> Reply:
    """Edits and variations: a form with at least one image; edits stream as `generate` does."""
    form = parse_form(asked.request.header(b"content-type"), asked.request.body)
    if not any(name == "image" for name, _, _ in form.files):
        raise Rejected(400, "Missing required parameter: 'image'.", param="image", code="missing_required_parameter")
    prompt = form.fields.get("prompt", "")
    number = form.fields.get("n", "1")
    if not number.isdecimal() or not 1 <= int(number) <= 10:
        raise Rejected(400, "Invalid value for 'n': expected an integer from 1 to 10.", param="n")
    streams = asked.request.path.endswith("/edits") and form.fields.get("stream", "").lower() in {"true", "1"}
    price = charge(asked, count(prompt) + _IMAGE_TOKENS, stream=streams)
    partial = _partial(form.fields.get("partial_images"))
    return (
        _events(asked, (int(number), partial), price, "image_edit") if streams else _answer(asked, int(number), price)
    )


def _partial(value: Any) -> int:
    """How many pictures in the making come before each. Raises Rejected."""
    text = "0" if value is None else str(value)
    if text not in {"0", "1", "2", "3"}:
        raise Rejected(
            400, "Invalid value for 'partial_images': expected an integer from 0 to 3.", param="partial_images"
        )
    return int(text)


def _events(asked: Asked, numbers: tuple[int, int], price: Charge, kind: str) -> Reply:
    """`numbers`: of images, and of what comes before each of them."""
    number, partial = numbers
    events = []
    for index in range(number):
        shape = {
            "b64_json": _image(asked, index),
            "created_at": asked.request.created,
            "background": "opaque",
            "output_format": "png",
            "quality": "low",
            "size": "1024x1024",
        }
        name = f"{kind}.partial_image"
        events += [event({"type": name, "partial_image_index": at, **shape}, 0, name) for at in range(partial)]
        name = f"{kind}.completed"
        events.append(event({"type": name, **shape, "usage": _usage(price, number)}, _OUTPUT_TOKENS, name))
    return stream_reply(events, price)


def _answer(asked: Asked, number: int, price: Charge) -> Reply:
    data = [{"b64_json": _image(asked, index)} for index in range(number)]
    answer = {"created": asked.request.created, "data": data, "usage": _usage(price, number)}
    return json_reply(answer, price, _OUTPUT_TOKENS * number)


def _usage(price: Charge, number: int) -> Json:
    output = _OUTPUT_TOKENS * number
    return {
        "input_tokens": price.input_tokens,
        "input_tokens_details": {"text_tokens": price.input_tokens, "image_tokens": 0},
        "output_tokens": output,
        "total_tokens": price.input_tokens + output,
    }


def _image(asked: Asked, index: int) -> str:
    colour = bytes.fromhex(asked.request.digest[:6])
    return b64encode(png(bytes((value + index) % 256 for value in colour))).decode()


def png(colour: bytes) -> bytes:
    """A PNG of one pixel in this RGB colour."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" + colour)),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
