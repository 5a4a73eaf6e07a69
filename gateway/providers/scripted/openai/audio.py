"""`/audio/*`: a tone for a text, a text for a file."""

from __future__ import annotations

import struct
from base64 import b64encode
from hashlib import blake2b

from gateway.providers.scripted.multipart import Form, parse_form
from gateway.providers.scripted.openai.fields import charge, need
from gateway.providers.scripted.scenario import (
    Asked,
    Charge,
    Json,
    Rejected,
    Reply,
    Send,
    event,
    json_reply,
    stream_reply,
)
from gateway.providers.scripted.tokens import count, pieces

_RATE = 8_000
_SAMPLES_PER_CHARACTER = 80
_BYTES_PER_SECOND = 16_000
_BYTES_PER_EVENT = 1_600
_LINE = "00:00:00{dot}000 --> 00:00:01{dot}000"


def speech(asked: Asked) -> Reply:
    """A WAV file (bare samples for `pcm`) whose length follows from the text's; other formats get WAV too. In events if
    asked."""
    body = asked.body
    text = need(body, "input", str)
    need(body, "voice", (str, dict))
    samples = _tone(len(text) * _SAMPLES_PER_CHARACTER, 20 + int(asked.request.digest[:2], 16) % 60)
    bare = body.get("response_format") == "pcm"
    data = samples if bare else _wav(samples)
    if body.get("stream_format") == "sse":
        return _spoken(data, charge(asked, count(text), stream=True))
    sound = Send(data, 0)
    return Reply((sound,), content_type=b"audio/pcm" if bare else b"audio/wav", charge=charge(asked, count(text)))


def _spoken(data: bytes, price: Charge) -> Reply:
    """The same bytes in events, a token for each of them."""
    parts = [data[at : at + _BYTES_PER_EVENT] for at in range(0, len(data), _BYTES_PER_EVENT)]
    deltas = [event({"type": "speech.audio.delta", "audio": b64encode(part).decode()}, 1) for part in parts]
    tokens = {"input_tokens": price.input_tokens, "output_tokens": len(parts)}
    usage = {**tokens, "total_tokens": price.input_tokens + len(parts)}
    return stream_reply([*deltas, event({"type": "speech.audio.done", "usage": usage})], price)


def _tone(samples: int, period: int) -> bytes:
    wave = b"".join(struct.pack("<h", 4_000 if at < period // 2 else -4_000) for at in range(period))
    return (wave * (samples // period + 1))[: samples * 2]


def _wav(samples: bytes) -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, _RATE, _RATE * 2, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(samples), b"WAVE")
        + form
        + struct.pack("<4sI", b"data", len(samples))
        + samples
    )


def transcribe(asked: Asked) -> Reply:
    """A sentence that names the file, its size and its digest, in the format asked for."""
    form = parse_form(asked.request.header(b"content-type"), asked.request.body)
    text, size = heard(form)
    streams = form.fields.get("stream", "").lower() in {"true", "1"}
    price = charge(asked, max(1, size // 100), stream=streams)
    if streams:
        return stream_reply(_events(text, price), price)
    shape = form.fields.get("response_format", "json")
    if shape in {"json", "verbose_json"}:
        answer = {"text": text, "usage": _usage(price, text)} if shape == "json" else _verbose(text, size)
        return json_reply(answer, price, count(text))
    return Reply(
        (Send(_plain(text, shape).encode(), count(text)),), content_type=b"text/plain; charset=utf-8", charge=price
    )


def heard(form: Form) -> tuple[str, int]:
    """What the file says, and its size. Raises Rejected without a file or a model."""
    found = next(((name, content) for key, name, content in form.files if key == "file"), None)
    if found is None or not form.fields.get("model"):
        missing = "file" if found is None else "model"
        raise Rejected(
            400, f"Missing required parameter: '{missing}'.", param=missing, code="missing_required_parameter"
        )
    name, content = found
    return f"transcript of {name}: {len(content)} bytes, {blake2b(content, digest_size=4).hexdigest()}", len(content)


def _usage(price: Charge, text: str) -> Json:
    output = count(text)
    return {
        "type": "tokens",
        "input_tokens": price.input_tokens,
        "input_token_details": {"text_tokens": 0, "audio_tokens": price.input_tokens},
        "output_tokens": output,
        "total_tokens": price.input_tokens + output,
    }


def _verbose(text: str, size: int) -> Json:
    seconds = round(size / _BYTES_PER_SECOND, 3)
    segment: Json = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": seconds,
        "text": text,
        "tokens": list(range(count(text))),
        "temperature": 0.0,
        "avg_logprob": -0.5,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }
    usage = {"type": "duration", "seconds": seconds}
    return {
        "task": "transcribe",
        "language": "english",
        "duration": seconds,
        "text": text,
        "segments": [segment],
        "usage": usage,
    }


def _plain(text: str, shape: str) -> str:
    if shape == "srt":
        return f"1\n{_LINE.format(dot=',')}\n{text}\n\n"
    if shape == "vtt":
        return f"WEBVTT\n\n{_LINE.format(dot='.')}\n{text}\n\n"
    if shape == "text":
        return f"{text}\n"
    raise Rejected(400, f"Invalid value for 'response_format': {shape!r}.", param="response_format")


def _events(text: str, price: Charge) -> list[Send]:
    deltas = [event({"type": "transcript.text.delta", "delta": piece}, 1) for piece in pieces(text)]
    return [*deltas, event({"type": "transcript.text.done", "text": text, "usage": _usage(price, text)})]
