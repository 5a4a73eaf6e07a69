"""openai-python against the gateway: vectors, sound, images, moderations and the models list."""

from __future__ import annotations

import base64
import io
import json
import os
import wave
from typing import Any

import openai
import pytest

from .conftest import BATCH, EMBED_KEY, Lab, Sdk, fault

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


# ---- embeddings


def test_embeddings_default_to_base64(sdk: Sdk, lab: Lab) -> None:
    """The SDK asks for base64 when the caller names no format; it gets the vectors that floats give."""
    ask: Any = {"model": "text-embedding-3-small", "input": ["a", "b"]}
    default = sdk.call(lambda c: c.embeddings.create(**ask))
    floats = sdk.call(lambda c: c.embeddings.create(**ask, encoding_format="float"))
    raw = sdk.call(lambda c: c.embeddings.create(**ask, encoding_format="base64"))
    assert [one.embedding for one in default.data] == [pytest.approx(one.embedding) for one in floats.data]
    assert all(isinstance(one.embedding, str) for one in raw.data)
    assert [len(one.embedding) for one in default.data] == [256, 256]
    assert default.model == "text-embedding-3-small"
    assert default.usage.total_tokens == 2


@pytest.mark.parametrize("dimensions", [8, 768, 3072])
def test_embedding_dimensions(sdk: Sdk, dimensions: int) -> None:
    """Vectors have as many dimensions as asked for: one decoded wrongly would have another number."""
    answer = sdk.call(lambda c: c.embeddings.create(model="text-embedding-3-small", input="a", dimensions=dimensions))
    assert [len(one.embedding) for one in answer.data] == [dimensions]
    assert sum(x * x for x in answer.data[0].embedding) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("value", "count"), [("text", 1), ([1, 2, 3], 1), ([[1, 2], [3]], 2), (["x"], 1)])
def test_every_kind_of_input(sdk: Sdk, value: Any, count: int) -> None:
    """Texts and token lists, one or many."""
    answer = sdk.call(lambda c: c.embeddings.create(model="text-embedding-3-small", input=value))
    assert [one.index for one in answer.data] == list(range(count))


def test_long_lists_are_split_and_merged(sdk: Sdk, lab: Lab) -> None:
    """A list longer than the provider takes goes out in several calls and comes back as one answer, in order."""
    texts = [f"text number {n}" for n in range(3 * BATCH + 1)]
    model = fault("cached-1")
    answer = sdk.call(lambda c: c.embeddings.create(model=model, input=texts, dimensions=8))
    rows = lab.mock.rows(model=model.partition("/")[2])
    assert len(rows) == 4
    assert [one.index for one in answer.data] == list(range(len(texts)))
    assert answer.usage.prompt_tokens == sum(row["input_tokens"] for row in rows)
    assert answer.model == model
    picked = [0, BATCH - 1, BATCH, len(texts) - 1]
    again = sdk.call(lambda c: c.embeddings.create(model=model, input=[texts[n] for n in picked], dimensions=8))
    assert [answer.data[n].embedding for n in picked] == [one.embedding for one in again.data]


def test_a_split_list_fails_as_one(sdk: Sdk, lab: Lab) -> None:
    """An error of any slice is the error of the call."""
    with pytest.raises(openai.RateLimitError):
        sdk.call(lambda c: c.embeddings.create(model=fault("status-429"), input=["x"] * (2 * BATCH)))


# ---- audio


def test_speech(sdk: Sdk) -> None:
    """Speech arrives as bytes under the provider's content type."""
    answer = sdk.call(
        lambda c: c.audio.speech.create(model="tts-1", voice="alloy", input="hello", response_format="wav")
    )
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getnframes() > 0
    assert answer.response.headers["content-type"].startswith("audio/")


def test_speech_streams(client: openai.OpenAI) -> None:
    """Bytes are handed on as they come; together they are the whole file."""
    ask: Any = {"model": "tts-1", "voice": "alloy", "input": "hello " * 2000, "response_format": "wav"}
    with client.audio.speech.with_streaming_response.create(**ask) as reply:
        streamed = b"".join(reply.iter_bytes())
    assert streamed == client.audio.speech.create(**ask).content


def spoken(client: openai.OpenAI, model: str) -> list[Any]:
    """The events of speech that is asked for as such."""
    ask: Any = {"model": model, "voice": "alloy", "input": "hello " * 20, "response_format": "wav"}
    with client.audio.speech.with_streaming_response.create(**ask, stream_format="sse") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in reply.iter_lines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def test_speech_in_events(client: openai.OpenAI, lab: Lab) -> None:
    """Together they are the whole file; what the provider counted is what is booked; a broken one says so."""
    model = fault("pace-1ms")
    *deltas, done = spoken(client, model)
    assert len(deltas) > 1
    with wave.open(io.BytesIO(b"".join(base64.b64decode(delta["audio"]) for delta in deltas))) as file:
        assert file.getnframes() == 120 * 80
    assert done["type"] == "speech.audio.done"
    (row,) = lab.mock.rows(model=model.partition("/")[2])
    assert (row["input_tokens"], row["output_tokens"]) == (
        done["usage"]["input_tokens"],
        done["usage"]["output_tokens"],
    )
    *_, error = spoken(client, fault("end-after-1"))
    assert error["error"]["code"] == "upstream_disconnected"


def test_broken_speech_is_no_answer(client: openai.OpenAI) -> None:
    """Sound that breaks off raises instead of ending early."""
    with pytest.raises(openai.APIConnectionError):
        client.audio.speech.create(
            model=fault("cut-after-2000"), voice="alloy", input="hello " * 2000, response_format="wav"
        )


@pytest.mark.parametrize("size", [64, 5_000_000], ids=["small", "5 MB"])
def test_transcription(sdk: Sdk, size: int) -> None:
    """Uploads reach the provider byte for byte, translations as transcriptions."""
    upload = ("sound.wav", os.urandom(size))
    heard = sdk.call(lambda c: c.audio.transcriptions.create(model="whisper-1", file=upload))
    assert heard.text.startswith(f"transcript of sound.wav: {size} bytes")
    assert sdk.call(lambda c: c.audio.translations.create(model="whisper-1", file=upload)).text == heard.text
    renamed = sdk.call(lambda c: c.audio.transcriptions.create(model="named/whisper-1", file=upload))
    assert renamed.text == heard.text


def test_transcription_formats(sdk: Sdk) -> None:
    """Texts, subtitles, segments and events."""
    ask: Any = {"model": "whisper-1", "file": ("a.wav", b"RIFF" * 64)}

    def heard(**options: Any) -> Any:
        return sdk.call(lambda c: c.audio.transcriptions.create(**ask, **options))

    text = heard().text
    assert heard(response_format="text").strip() == text
    assert heard(response_format="srt").startswith("1\n00:00:00,000 --> ")
    assert heard(response_format="vtt").startswith("WEBVTT")
    verbose = heard(response_format="verbose_json", timestamp_granularities=["segment"])
    assert verbose.segments[0].text == text
    events = sdk.events(lambda c: c.audio.transcriptions.create(**ask, stream=True))
    assert events[-1].type == "transcript.text.done"
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == text


# ---- images


def test_images(sdk: Sdk) -> None:
    """Generated, edited and varied images are PNG files; the default model needs no name."""
    made = sdk.call(lambda c: c.images.generate(model="gpt-image-1", prompt="a cat", n=2))
    edited = sdk.call(
        lambda c: c.images.edit(model="gpt-image-1", image=[("a.png", b"a"), ("b.png", b"b")], prompt="a dog")
    )
    varied = sdk.call(lambda c: c.images.create_variation(image=("a.png", b"bytes")))
    unnamed = sdk.call(lambda c: c.images.generate(prompt="a cat"))
    images = [*made.data, *edited.data, *varied.data, *unnamed.data]
    assert len(images) == 5
    assert all(base64.b64decode(one.b64_json).startswith(b"\x89PNG") for one in images)


def test_images_stream(sdk: Sdk) -> None:
    """Image events arrive as the SDK's types."""
    events = sdk.events(lambda c: c.images.generate(model="gpt-image-1", prompt="a cat", stream=True))
    assert events[-1].type == "image_generation.completed"
    edits = sdk.events(
        lambda c: c.images.edit(model="gpt-image-1", image=("a.png", b"a"), prompt="a dog", n=2, stream=True)
    )
    assert [event.type for event in edits] == ["image_edit.completed"] * 2
    growing = sdk.events(
        lambda c: c.images.generate(model="gpt-image-1", prompt="a cat", stream=True, partial_images=2)
    )
    assert [getattr(event, "partial_image_index", None) for event in growing] == [0, 1, None]
    assert growing[0].type == "image_generation.partial_image"


# ---- moderations


@pytest.mark.parametrize("model", [{}, {"model": "omni-moderation-latest"}])
def test_moderations(sdk: Sdk, model: Any) -> None:
    """One result per input, with and without a model's name."""
    answer = sdk.call(lambda c: c.moderations.create(input=["violence!", "flowers"], **model))
    assert [one.flagged for one in answer.results] == [True, False]
    assert answer.results[0].categories.violence
    assert answer.model == "omni-moderation-latest"


# ---- models


def test_models(sdk: Sdk) -> None:
    """The list holds routes and listed models, in the SDK's type."""
    models = {model.id: model for model in sdk.events(lambda c: c.models.list())}
    assert {"fast", "rescued", "gpt-4o", "org/model-7b", "text-embedding-3-small"} <= set(models)
    assert all(model.object == "model" and model.owned_by and model.created for model in models.values())


@pytest.mark.parametrize("name", ["gpt-4o", "org/model-7b", "named/gpt-4o", "named/org/model-7b", "fast", "lab/a/b:c"])
def test_one_model(sdk: Sdk, name: str) -> None:
    """Every name that a call may use can be retrieved, with slashes and colons."""
    assert sdk.call(lambda c: c.models.retrieve(name)).id == name


@pytest.mark.parametrize("name", ["gpt-nothing", "named/gpt-nothing", "nobody/gpt-4o"])
def test_no_such_model(sdk: Sdk, name: str) -> None:
    """Other names are NotFoundError, in the list's terms and in a call's."""
    for ask in (
        lambda c: c.models.retrieve(name),
        lambda c: c.chat.completions.create(model=name, messages=[{"role": "user", "content": "x"}]),
    ):
        with pytest.raises(openai.NotFoundError) as refused:
            sdk.call(ask)
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_models_of_a_key(lab: Lab) -> None:
    """A key's list holds what the key may use, and nothing else can be retrieved with it."""
    with openai.OpenAI(base_url=lab.gateway.api, api_key=EMBED_KEY, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["text-embedding-3-small"]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")
