"""Multipart uploads: passed on while they arrive, held once, renamed in place, replayed, refused when malformed."""

from __future__ import annotations

import email
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.http.multipart import FormScanner, Upload, boundary_of
from tests.support.app import until
from tests.support.rig import PRIVATE_MODEL, Rig, keys_config, rigged, secret
from tests.support.steps import Script, chunked, json_reply, raw_head, read_body, reset, send, stall, status
from tests.support.upstream import ScriptedUpstream

B = "form-boundary-7"
KIND = [("content-type", f"multipart/form-data; boundary={B}")]
PATH = "/v1/audio/transcriptions"
SOUND = bytes(range(256)) * 400


def part(name: str, value: bytes, *, file: str | None = None, headers: str = "") -> bytes:
    """One part with its boundary in front."""
    extra = f'; filename="{file}"\r\nContent-Type: audio/wav' if file else ""
    return f'--{B}\r\nContent-Disposition: form-data; name="{name}"{extra}{headers}\r\n\r\n'.encode() + value + b"\r\n"


END = f"--{B}--\r\n".encode()
MODEL = part("model", b"alias")
FILE = part("file", SOUND, file="a.wav")


@pytest.fixture(scope="module")
def shared() -> Iterator[Rig]:
    with rigged(max_body_bytes=1 << 20) as rig:
        yield rig


@pytest.fixture
def rig(shared: Rig) -> Rig:
    return shared.fresh()


def upload(rig: Rig, body: bytes, path: str = PATH) -> Any:
    """Send a form."""
    return rig.gateway.post(path, body, KIND)


def renamed(body: bytes) -> bytes:
    """The form as the provider should get it."""
    return body.replace(MODEL, part("model", PRIVATE_MODEL.encode()), 1)


@pytest.mark.parametrize(
    "body",
    [
        MODEL + FILE + END,
        FILE + MODEL + END,
        part("language", b"en") + FILE + part("model[]x", b"not it") + MODEL + part("prompt", b"x" * 9000) + END,
        MODEL + FILE + END + b"epilogue",
        MODEL + part("file", b"", file="empty") + END,
        MODEL + part("file", b"\r\n--form-boundary-\r\n--\r\n", file="near") + END,
    ],
    ids=["model first", "file first", "in the middle", "epilogue", "empty file", "near boundaries"],
)
def test_only_the_model_field_changes(rig: Rig, body: bytes) -> None:
    """The provider gets its own name for the model; every other byte as it was sent, with an exact length."""
    reply = upload(rig, body)
    assert reply.status == 200, reply.body
    assert rig.sent() == renamed(body)
    assert rig.a.received[0].header("content-type") == KIND[0][1]
    assert reply.json["model"] == "alias"


def test_a_form_without_alias_is_passed_byte_for_byte(rig: Rig) -> None:
    """The same bytes, at every size of the client's writes."""
    body = part("model", b"a/m") + FILE + END
    expected = body.replace(b"a/m", b"m", 1)
    for size in (1 << 16, 1000):
        rig.a.received.clear()
        with rig.gateway.client() as client:
            client.send("POST", PATH, b"", [*KIND, ("transfer-encoding", "chunked")])
            for at in range(0, len(body), size):
                piece = body[at : at + size]
                client.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.write(b"0\r\n\r\n")
            assert client.reply().status == 200
        assert rig.sent() == expected


def test_the_first_bytes_reach_the_provider_before_the_last_are_sent() -> None:
    """An upload is streamed through: the provider reads its beginning while the client still holds the rest."""
    with ScriptedUpstream(early=True) as early, rigged() as rig:
        from tests.support.app import running  # noqa: PLC0415

        early.default = [read_body(), *json_reply({"text": "x"})]
        config = rig.gateway.config.read_text().replace(rig.a.base_url, early.base_url)
        body = MODEL + FILE + END
        with running(config) as gateway, gateway.client() as client:
            client.send("POST", PATH, body[:20_000], KIND, length=len(body))
            early.wait_until(lambda: bool(early.received), "the upload's beginning")
            assert not early.received[0].complete
            assert gateway.pipeline.in_flight == 1
            client.write(body[20_000:])
            assert client.reply().status == 200
            assert early.received[0].body == renamed(body)


@pytest.mark.parametrize("fault", [status(500), [reset()]], ids=["500", "reset"])
@pytest.mark.parametrize("form", [MODEL + FILE + END, FILE + MODEL + END], ids=["model first", "file first"])
def test_a_failover_replays_the_same_bytes(rig: Rig, fault: Script, form: bytes) -> None:
    """The second deployment gets the whole form again, with its own model's name."""
    body = form.replace(b"alias", b"pair")
    rig.a.default = fault
    reply = upload(rig, body)
    assert (reply.status, reply.header("x-gateway-attempts")) == (200, "2")
    assert rig.b.received[0].body == body.replace(b"pair", b"up-b", 1)


def test_a_failover_while_the_client_still_sends(rig: Rig) -> None:
    """The first provider breaks off in the middle of the upload; the second gets it from its first byte to its last."""
    with ScriptedUpstream(default=[reset()], early=True) as early:
        from tests.support.app import running  # noqa: PLC0415

        config = rig.gateway.config.read_text().replace(rig.a.base_url, early.base_url)
        body = (MODEL + FILE + END).replace(b"alias", b"pair")
        with running(config) as gateway, gateway.client() as client:
            client.send("POST", PATH, body[:5000], KIND, length=len(body))
            early.wait_until(lambda: bool(early.received), "the first attempt")
            rig.b.wait_until(lambda: rig.b.open > 0, "the second attempt")
            client.write(body[5000:])
            reply = client.reply()
        assert (reply.status, reply.header("x-gateway-attempts")) == (200, "2")
        assert rig.b.received[0].body == body.replace(b"pair", b"up-b", 1)


def test_an_answer_before_the_end_of_the_upload(rig: Rig) -> None:
    """A provider that refuses early is heard early; the client's rest is not waited for."""
    refusal = json_reply({"error": {"message": "Too long.", "type": "invalid_request_error"}}, 400)
    with ScriptedUpstream(default=refusal, early=True) as early:
        from tests.support.app import running  # noqa: PLC0415

        config = rig.gateway.config.read_text().replace(rig.a.base_url, early.base_url)
        body = MODEL + FILE + END
        with running(config) as gateway, gateway.client() as client:
            client.send("POST", PATH, body[:5000], KIND, length=len(body))
            reply = client.reply()
            assert (reply.status, reply.error["message"]) == (400, "Too long.")
            until(gateway.idle, "an idle gateway")


def test_a_missing_model_is_filled_in_where_the_api_has_a_default(rig: Rig) -> None:
    """Image edits may name no model; transcriptions must."""
    reply = upload(rig, FILE + END)
    assert (reply.status, reply.error["param"]) == (400, "model")
    body = part("image", b"png", file="a.png") + END
    for lead in (b"", b"\r\n"):
        rig.a.received.clear()
        reply = upload(rig, lead + body, "/openai/deployments/alias/images/edits")
        assert reply.status == 200, reply.body
        assert rig.sent().endswith(body)
        found = re.search(rb'name="model"\r\n\r\n(.*?)\r\n--', rig.sent(), re.DOTALL)
        assert found is not None
        assert found[1] == PRIVATE_MODEL.encode()


def test_a_form_names_its_user() -> None:
    """A limit of users binds whoever the form names, as it does in JSON."""
    with rigged("\nlimits: [{name: each, scope: user, requests: 1/day}]\n") as rig:
        found = []
        for who in (b"ann", b"ann", b"bob"):
            form = part("prompt", b"a cat") + part("n", b"2") + part("user", who) + part("image", b"png", file="a.png")
            found.append(upload(rig, MODEL + form + END, "/v1/images/edits").status)
        assert found == [200, 429, 200]


@pytest.mark.parametrize("form", ["text", "srt", "vtt", "json", None])
@pytest.mark.parametrize("late", [True, False])
def test_of_silence_nothing_may_be_written_down(rig: Rig, form: str | None, late: bool) -> None:
    """An empty transcript is an answer where text was asked for, and none where it should have been JSON."""
    asked = b"" if form is None else part("response_format", form.encode())
    rig.a.default = status(200, b"", [("content-type", "text/plain; charset=utf-8")])
    reply = upload(rig, MODEL + FILE + asked + END if late else asked + MODEL + FILE + END)
    wanted = 502 if form in ("json", None) else 200
    assert reply.status == wanted, reply.body
    assert wanted == 502 or (reply.body, reply.header("content-type")) == (b"", "text/plain; charset=utf-8")


MALFORMED = {
    "empty": b"",
    "no boundary": b"hello" * 10,
    "long preamble": b"x" * 20_000 + MODEL + FILE + END,
    "preamble": b"junk\r\n" + MODEL + FILE + END,
    "cut in a header": MODEL + FILE[:30],
    "text behind a boundary": MODEL + FILE.replace(b"7\r\n", b"7 x\r\n", 1) + END,
    "endless header": MODEL + b"--" + B.encode() + b"\r\n" + b"x-y: " + b"z" * 40_000 + b"\r\n\r\n" + END,
    "two models": MODEL + MODEL + FILE + END,
    "two models around the file": MODEL + FILE + part("model", b"m") + END,
    "long model": part("model", b"m" * 300) + FILE + END,
    "endless model": part("model", b"m" * 9000) + FILE + END,
    "empty model": part("model", b"") + FILE + END,
    "model with a line break": part("model", b"a\r\nb") + FILE + END,
    "model in another case": part("MODEL", b"m") + MODEL + FILE + END,
    "model without quotes": MODEL + MODEL.replace(b'"model"', b"model") + FILE + END,
    "model as an extended parameter": MODEL + MODEL.replace(b'name="model"', b"name*=utf-8''model") + FILE + END,
    "model within another name": part("x; name=model", b"m") + MODEL + FILE + END,
    "model with an escape": MODEL + MODEL.replace(b'"model"', b'"mod\\el"') + FILE + END,
    "model behind another header": MODEL
    + MODEL.replace(b"Content-Disposition", b'X-Other: y; name="z"\r\nContent-Disposition')
    + FILE
    + END,
    "model behind an unknown parameter": MODEL
    + MODEL.replace(b'name="model"', b'name=x; size="; name=model"')
    + FILE
    + END,
    "model in quotes of another kind": MODEL + MODEL.replace(b'"model"', b"'model'") + FILE + END,
    "model in percents": MODEL + MODEL.replace(b'"model"', b"mod%65l") + FILE + END,
    "model in pieces": MODEL + MODEL.replace(b'name="model"', b"name=x; name*0=mod; name*1=el") + FILE + END,
    "two tokens": MODEL + MODEL.replace(b'name="model"', b"name=x; name=model") + FILE + END,
    "half a name": MODEL + MODEL.replace(b'"model"', b'mod"el"') + FILE + END,
    "space in a name": MODEL + MODEL.replace(b'"model"', b"x model") + FILE + END,
    "two names": MODEL + MODEL.replace(b'name="model"', b'name="z"; name="model"') + FILE + END,
    "two dispositions": MODEL
    + MODEL.replace(b"\r\n\r\n", b'\r\nContent-Disposition: form-data; name="z"\r\n\r\n', 1)
    + FILE
    + END,
    "folded disposition": MODEL + MODEL.replace(b"form-data; ", b"form-data;\r\n ") + FILE + END,
    "no disposition": MODEL + b"--" + B.encode() + b"\r\nx: y\r\n\r\nz\r\n" + FILE + END,
}


def as_tokens(form: bytes) -> bytes:
    """The form with its parameters as .NET's HttpClient writes them."""
    form = form.replace(b'filename="a.wav"', b"filename=a.wav; filename*=utf-8''a.wav; size=102400")
    return re.sub(rb'name="(\w+)"', rb"name=\1", form)


@pytest.mark.parametrize("body", [MODEL + FILE + END, FILE + MODEL + part("n", b"2") + END])
def test_names_may_be_tokens(rig: Rig, body: bytes) -> None:
    """Parameters without quotes, and ones that mean nothing here, are read like any; only the model's name changes."""
    reply = upload(rig, as_tokens(body))
    assert reply.status == 200, reply.body
    assert rig.sent() == as_tokens(renamed(body))


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_forms_are_400(rig: Rig, name: str) -> None:
    """What two parsers could read differently, or nobody can read, never counts as served."""
    reply = upload(rig, MALFORMED[name])
    assert reply.status == 400, (name, reply.body)
    assert reply.error["type"] == "invalid_request_error"
    assert not any(request.complete for request in rig.a.received)
    until(rig.gateway.idle, "an idle gateway")


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'x' * 71}",
        f"multipart/form-data; boundary={B}; boundary=other",
        f"multipart/form-data; xboundary=other; boundary={B}; Boundary=third",
        "multipart/form-data; notboundary=x",
        f"multipart/form-data; boundary*=utf-8''{B}",
    ],
)
def test_an_unclear_boundary_is_400(rig: Rig, kind: str) -> None:
    """One boundary of 1 to 70 characters, or the form cannot be told apart."""
    reply = rig.gateway.post(PATH, MODEL + FILE + END, [("content-type", kind)])
    assert reply.status == 400, reply.body
    assert not rig.a.received


@pytest.mark.parametrize("kind", [b"multipart/form-data; boundary=ab", b'Multipart/Form-Data;charset=x; BOUNDARY="ab"'])
def test_a_boundary_is_read_quoted_or_not(kind: bytes) -> None:
    """Both spellings of the parameter are the same."""
    assert boundary_of(kind) == b"ab"


def test_an_upload_over_the_limit_is_413(rig: Rig) -> None:
    """While it arrives, without the end of it; the half-sent request upstream is broken off, never completed."""
    with rig.gateway.client() as client:
        client.send("POST", PATH, b"", [*KIND, ("transfer-encoding", "chunked")])
        client.write(b"%x\r\n%b\r\n" % (len(MODEL + FILE), MODEL + FILE))
        block = b"y" * 65536
        for _ in range(17):
            client.write(b"%x\r\n%b\r\n" % (len(block), block))
        reply = client.reply()
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert not any(request.complete for request in rig.a.received)


def test_a_client_that_leaves_in_its_upload_ends_it(rig: Rig) -> None:
    """The provider's connection is closed and the call is a 499."""
    rig.fresh()
    with rig.gateway.client() as client:
        client.send("POST", PATH, MODEL + FILE[:9000], [*KIND, ("x-request-id", "upload-left")], length=10**6)
        rig.a.wait_until(lambda: len(rig.a.received) == 1, "the form's beginning")
    assert rig.gateway.line("upload-left")["status"] == 499
    until(rig.gateway.idle, "an idle gateway")
    rig.a.wait_until(lambda: rig.a.open == 0, "the end of the upstream connection")


def test_a_client_that_leaves_an_early_answer_ends_it(rig: Rig) -> None:
    """A provider that streams its answer before it has the whole form is let go as well when the client leaves."""
    begun = b'data: {"type":"transcript.text.delta","delta":"x"}\n\n'
    head = raw_head(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")])
    with ScriptedUpstream(default=[send(head), send(chunked(begun)), stall()], early=True) as early:
        from tests.support.app import running  # noqa: PLC0415

        config = rig.gateway.config.read_text().replace(rig.a.base_url, early.base_url)
        form = part("stream", b"true") + MODEL + FILE[:5000]
        with running(config) as gateway:
            with gateway.client() as client:
                client.send("POST", PATH, form, [*KIND, ("x-request-id", "early-left")], length=10**6)
                client.read_until(client.head(), begun)
            assert gateway.line("early-left")["status"] == 499
            early.wait_until(lambda: early.open == 0, "the end of the upstream connection")


def test_keys_hold_for_forms_too() -> None:
    """The model list of a key is enforced on the form's field."""
    token = secret()
    with rigged(keys_config(f"name: k, secret: {token}, models: [alias]")) as rig:
        key = [*KIND, ("authorization", f"Bearer {token}")]
        assert rig.gateway.post(PATH, MODEL + FILE + END, key).status == 200
        assert rig.gateway.post(PATH, part("model", b"m") + FILE + END, key).status == 403
        assert len(rig.a.received) == 1


# ---- the scanner on its own


FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["model", "stream", "prompt", "file", "n"]),
        (
            st.binary(max_size=40)
            | st.sampled_from([b"\r\n--form-boundary-", b"\r\n", b"--", b"\r", b"--form-boundar"])
        ).filter(lambda value: f"--{B}".encode() not in value),
    ),
    unique_by=lambda field: field[0],
    max_size=5,
)


@given(FIELDS, st.data())
def test_any_split_reads_the_same(fields: list[tuple[str, bytes]], data: st.DataObject) -> None:
    """However a form is cut into pieces, the scanner finds the same fields at the same places, and they are right."""
    body = b"".join(part(name, value, file="f" if name == "file" else None) for name, value in fields) + END
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    whole, pieces = FormScanner(B.encode()), FormScanner(B.encode())
    whole.feed(body)
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        pieces.feed(body[start:end])
    assert (pieces.fields, pieces.spans, pieces.ended) == (whole.fields, whole.spans, True)
    for name, value in fields:
        if name in whole.spans:
            start, end = whole.spans[name]
            assert body[start:end] == value


PIECES = [
    *["name", "filename", "size", "x", "=", ";", '"', "'", "*", "*0", "model", "file", "utf-8''", "%65", "\\", "[]"],
    "; ",
    " ",
]
WORDS = st.lists(st.sampled_from(PIECES), max_size=9).map("".join)


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(["; name=", ";name=", '; name="', "; size=", "; "]), WORDS, WORDS)
@example('; name="', "", 'name"')
@example('; name="', "x", 'name=model"')
def test_what_is_read_has_one_reading(start: str, middle: str, end: str) -> None:
    """A disposition that is accepted has the same name for others: Python's parser of mail, and one that knows no
    quotes."""
    line = f"Content-Disposition: form-data{start}{middle}; {end}"
    scanner = FormScanner(B.encode())
    try:
        scanner.feed(f"--{B}\r\n{line}\r\n\r\nvalue\r\n--{B}--\r\n".encode())
    except InvalidRequest:
        return
    is_model = "model" in scanner.fields or (scanner.file_begun and 'name="model"' in line)
    name = email.message_from_string(line + "\n\n").get_param("name", header="content-disposition")
    assert isinstance(name, str)
    assert (name == "model") is is_model or scanner.file_begun or name == "model[]"
    if "filename" not in line:
        pairs = [pair.strip().partition("=") for pair in line.split(";")[1:]]
        names = [value.strip().strip("'\"") for key, _, value in pairs if key.strip().lower().startswith("name")]
        assert len(names) == 1
        assert (names[0].removesuffix("[]") == "model") is is_model


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=10))
def test_junk_is_refused_or_waited_for(junk: bytes, sizes: list[int]) -> None:
    """Any bytes at all: the scanner says InvalidRequest or asks for more, and never holds more than a window."""
    scanner = FormScanner(B.encode())
    body = f"--{B}".encode() + junk
    with suppress(InvalidRequest):
        at = 0
        for size in [*sizes, len(body)]:
            scanner.feed(body[at : at + size])
            at += size
    assert len(scanner._window) <= len(body) + 2


async def test_a_form_without_an_end_is_no_form() -> None:
    """The body ends before its closing boundary: whoever reads it to its end learns that it is incomplete."""
    pieces = [MODEL, FILE, b""]

    async def pull() -> bytes:
        return pieces.pop(0)

    found = Upload(pull, B.encode(), None)
    await found.read_fields()
    with pytest.raises(InvalidRequest, match="ends before"):
        _ = [piece async for piece in found.stream()]


async def test_an_upload_is_held_once() -> None:
    """Two readers of one upload share its pieces; the client is read once."""
    body = MODEL + FILE + END
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    pulled = 0

    async def pull() -> bytes:
        nonlocal pulled
        pulled += 1
        return pieces[pulled - 1] if pulled <= len(pieces) else b""

    found = Upload(pull, B.encode(), len(body))
    await found.read_fields()
    assert pulled == 1
    assert found.parts() is None
    assert found.renamed("longer-name").size == len(body) + len("longer-name") - len("alias")
    first = [piece async for piece in found.stream()]
    second = [piece async for piece in found.stream()]
    assert pulled == len(pieces) + 1
    assert all(one is two for one, two in zip(first, second, strict=True))
    copy = b"".join(found.renamed("x").parts() or ())
    assert copy == body.replace(b"alias", b"x", 1)
    assert found.renamed("alias") is found
    assert json.dumps(found.scanner.fields) == '{"model": "alias"}'


def test_nothing_here_needs_a_send() -> None:
    """Replies above are steps; `send` is what they are made of."""
    assert send(b"x") == send(b"x")


def test_a_form_of_countless_parts_is_refused() -> None:
    """A body of tiny parts is given up after a thousand, before it costs noticeable time."""
    scanner = FormScanner(B.encode())
    with pytest.raises(InvalidRequest, match="1000"):
        scanner.feed(part("x", b"") * 3000)


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="file"; filename="a \\"quoted\\" name.wav"',
        "form-data; name=\"file\"; filename*=utf-8''h%C3%A9.wav",
        'form-data; filename="x; name=model"; name="file"',
        'form-data;name="file";filename=plain.wav',
        'Form-Data; Name="file"; FileName=""',
    ],
)
def test_every_client_names_its_files_differently(disposition: str) -> None:
    """The spellings that real HTTP clients use for file names are read as files called `file`."""
    scanner = FormScanner(B.encode())
    scanner.feed(MODEL + f"--{B}\r\ncontent-disposition: {disposition}\r\n\r\nx\r\n".encode() + END)
    assert (scanner.file_begun, scanner.ended, scanner.fields) == (True, True, {"model": "alias"})


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 1 << 20])
@pytest.mark.parametrize("body", [MODEL + FILE + END, FILE + MODEL + END, FILE + END])
async def test_renaming_puts_nothing_together(body: bytes, size: int) -> None:
    """A form whose model stands behind a file goes out in the pieces that came, never joined."""
    pieces = iter([body[at : at + size] for at in range(0, len(body), size)])

    async def pull() -> bytes:
        return next(pieces, b"")

    await (base := Upload(pull, B.encode(), len(body))).read_fields()
    form = base.renamed(PRIVATE_MODEL)
    arrived = [part async for part in form.stream()]
    added = part("model", PRIVATE_MODEL.encode())
    assert list(form.parts() or ()) == arrived
    assert b"".join(arrived) == (renamed(body) if MODEL in body else added + body)
    assert max(map(len, arrived)) <= max(size, len(added))
