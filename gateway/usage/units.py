"""What a call is sold by where that is not tokens: images, characters to speak, seconds of audio, searches.

Pure: from the call, its answer and the usage that the provider told.
"""

from __future__ import annotations

import re
from math import ceil, isfinite
from typing import Any, NamedTuple, TypeVar

import msgspec

from gateway.types import Call, Price, Service, Usage

CHARACTERS_PER_SECOND = 15
"""Of fluent speech; for a transcript whose length in seconds nobody tells."""
SMALLEST_BITRATE = 4000
"""Bytes per second (32 kbit/s): what speech is hardly recorded below."""
USUAL_BITRATE = 16_000
"""Bytes per second (128 kbit/s): what recordings often have."""
LARGEST_UPLOAD = 25 * 1024 * 1024
"""Bytes that transcription services take: https://platform.openai.com/docs/guides/speech-to-text"""
DOCUMENTS_PER_SEARCH = 100
"""https://docs.cohere.com/docs/how-does-cohere-pricing-work"""
MOST = 10**9
"""No call has as many of any unit: who tells that makes a mistake, and has told nothing."""
_TOKENS_PER_UNIT = {
    Service.IMAGES: (0, 8192),
    Service.SPEECH: (0, 4),
    Service.TRANSCRIPTION: (25, 10),
}
"""The most input and output tokens of an image, a character that is spoken, a second that is heard:
https://platform.openai.com/docs/pricing"""
_TOKENS_OF_UPLOAD = 65536
"""Of the pictures that come with an order for others."""
_LIKELY_TOKENS: dict[str, tuple[float, float]] = {
    Service.IMAGES: (0.0, 4160.0),
    Service.SPEECH: (0.0, 1.5),
    Service.TRANSCRIPTION: (10.0, 4.0),
}
"""The input and output tokens that an image (large, of high quality), a character that is spoken, a second that is
heard are billed as, by the same list and its prices by the minute."""
_SOLD_BY_UNITS = frozenset({Service.IMAGES, Service.SPEECH, Service.TRANSCRIPTION, Service.RERANK})
_END_OF_CUE = re.compile(rb"-->\s*(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,](\d{3})")


class Units(NamedTuple):
    """An amount of units, and whether it was counted; else it is estimated."""

    amount: float
    counted: bool = True


class _Images(msgspec.Struct, gc=False):
    data: list[msgspec.Raw] | None = None


class _Transcript(msgspec.Struct, gc=False):
    duration: Any = None
    text: Any = None


class _Billed(msgspec.Struct, gc=False):
    search_units: float | None = None


class _Meta(msgspec.Struct, gc=False):
    billed_units: _Billed | None = None


class _Reranked(msgspec.Struct, gc=False):
    meta: _Meta | None = None


class _Asked(msgspec.Struct, gc=False):
    input: Any = None
    documents: Any = None


_Reply = TypeVar("_Reply")
_NONE = Units(0.0)
_IMAGES = msgspec.json.Decoder(_Images)
_TRANSCRIPT = msgspec.json.Decoder(_Transcript)
_RERANKED = msgspec.json.Decoder(_Reranked)
_ASKED = msgspec.json.Decoder(_Asked)


def units_of(call: Call, body: bytes | None, usage: Usage | None) -> Units:
    """The units of an answered call. `body` is the decoded reply, None of a stream; `usage` what the provider told."""
    if usage is not None and usage.units:
        return Units(usage.units)
    service = call.service
    if service not in _SOLD_BY_UNITS:
        return _NONE
    if service is Service.IMAGES:
        return _images(call, body)
    if service is Service.SPEECH:
        return Units(_characters(call))
    if service is Service.RERANK:
        return _searches(call, body)
    if usage is not None and usage.total:
        return _NONE  # sold by its tokens
    heard = _seconds(call, body)
    # Silence has no text, and lasts all the same.
    return heard if heard.amount else Units(units_sent(call), counted=False)


def units_asked(call: Call) -> float:
    """The units that a call will hardly exceed, known before it is sent."""
    if call.service is Service.IMAGES:
        return float(max(1, call.choices))
    if call.service is Service.SPEECH:
        return _characters(call)
    if call.service is Service.RERANK:
        return _searches_asked(call)
    if call.service is Service.TRANSCRIPTION:
        size = _recorded(call)
        return min(LARGEST_UPLOAD, LARGEST_UPLOAD if size is None else size) / SMALLEST_BITRATE
    return 0.0


def units_sent(call: Call) -> float:
    """The units that the request itself is, whatever comes back: characters to speak, searches to make, about as many
    seconds to be heard."""
    if call.service is Service.SPEECH:
        return _characters(call)
    if call.service is Service.TRANSCRIPTION:
        return min(LARGEST_UPLOAD, _recorded(call) or 0) / USUAL_BITRATE
    return _searches_asked(call) if call.service is Service.RERANK else 0.0


def as_sold(usage: Usage, service: str, price: Price, read: int = 0) -> Usage:
    """The usage, with what the price is for and nobody counted estimated from what was counted, tokens or units:
    unknown is not zero. `read` is how many tokens the request's text has. The same object where nothing is missing."""
    if price.per_unit:
        return _with_seconds(usage, service, price)
    if usage.total or not usage.units or not (price.input or price.output):
        return usage
    given, made = (ceil(each * usage.units) for each in _LIKELY_TOKENS.get(service, (0.0, 0.0)))
    spoken = made if service == Service.SPEECH else 0
    return msgspec.structs.replace(
        usage, input_tokens=read + given, output_tokens=made, audio_input_tokens=given, audio_output_tokens=spoken
    )


def _with_seconds(usage: Usage, service: str, price: Price) -> Usage:
    """Transcripts alone are told in tokens or in seconds: everything else has its units."""
    if service != Service.TRANSCRIPTION or usage.units or not usage.total or price.input or price.output:
        return usage
    given, made = _LIKELY_TOKENS[service]
    heard = usage.audio_input_tokens or usage.input_tokens
    return msgspec.structs.replace(usage, units=heard / given if heard else usage.output_tokens / made)


def tokens_asked(call: Call) -> tuple[int, int]:
    """Input tokens beyond those of the body's text, and output tokens, that a call for images or sound hardly exceeds
    where tokens are what these are sold by."""
    given, made = _TOKENS_PER_UNIT.get(call.service, (0, 0))
    amount = ceil(units_asked(call)) if made else 0
    uploaded = _TOKENS_OF_UPLOAD if call.service is Service.IMAGES and call.upload is not None else 0
    return given * amount + uploaded, made * amount


def _recorded(call: Call) -> int | None:
    """Bytes of the recording; None while nobody knows."""
    return call.upload.size if call.upload is not None else len(call.raw)


def _images(call: Call, body: bytes | None) -> Units:
    reply = _read(_IMAGES, body)
    if reply is None or reply.data is None:
        return Units(float(max(1, call.choices)), counted=False)
    return Units(float(len(reply.data)))


def _characters(call: Call) -> float:
    asked = _read(_ASKED, call.raw)
    return float(len(asked.input)) if asked is not None and isinstance(asked.input, str) else 0.0


def _searches(call: Call, body: bytes | None) -> Units:
    reply = _read(_RERANKED, body)
    billed = reply.meta.billed_units if reply is not None and reply.meta is not None else None
    if billed is not None and billed.search_units is not None and 0 <= billed.search_units < MOST:
        return Units(billed.search_units)
    return Units(_searches_asked(call))


def _searches_asked(call: Call) -> float:
    asked = _read(_ASKED, call.raw)
    documents = len(asked.documents) if asked is not None and isinstance(asked.documents, list) else 1
    return float(max(1, -(-documents // DOCUMENTS_PER_SEARCH)))


def _seconds(call: Call, body: bytes | None) -> Units:
    """As the reply tells, else to the end of its last subtitle, else as long as speaking its text takes."""
    if body is None:
        return Units(units_asked(call), counted=False)
    reply = _read(_TRANSCRIPT, body) if body.lstrip()[:1] == b"{" else None
    if reply is not None:
        told = _number(reply.duration)
        if 0 < told < MOST:
            return Units(told)
        text = reply.text if isinstance(reply.text, str) else ""
        return Units(len(text) / CHARACTERS_PER_SECOND, counted=False)
    ends = _END_OF_CUE.findall(body)
    if ends:
        hours, minutes, seconds, thousandths = (int(part or 0) for part in ends[-1])
        return Units(hours * 3600 + minutes * 60 + seconds + thousandths / 1000, counted=False)
    return Units(len(body.decode("utf-8", "replace")) / CHARACTERS_PER_SECOND, counted=False)


def _number(value: object) -> float:
    """A number, also as text (older replies tell the duration as `"8.47"`); else 0."""
    try:
        number = float(value) if isinstance(value, int | float | str) else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return number if isfinite(number) else 0.0


def _read(decoder: msgspec.json.Decoder[_Reply], body: bytes | None) -> _Reply | None:
    try:
        return decoder.decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
