"""Multipart uploads: read as they arrive, held once, passed on while they still come in.

A scanner follows the form's boundaries only as far as it must: it notes where the `model` field's text stands (and the
few other fields that matter) and never copies a file. What was read is kept, so that another deployment can be tried
with the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from itertools import accumulate

from gateway.errors import InvalidRequest

MAX_PART_HEADERS = 16 * 1024
MAX_FIELD = 4096
READ_FIELDS = frozenset({"model", "stream", "n", "response_format", "user"})
MAX_PARTS = 1000
# Only what every parser reads alike: one disposition on one line, one name, quoted without escapes or a token as .NET
# writes it (RFC 7578, RFC 2045). A `model` field that the provider saw and we did not would go around the key's list of
# models. So there is nothing in a name's token that some take for quotes or escapes (`'`, `%`, `*`), no other parameter
# that begins like `name`, and no value of one in which another could be seen.
_TOKEN = rb"[!#$&+\-.^_`{|}~0-9A-Za-z]+"
_PARAMETER = rb';[ \t]*(?:(name)=(?:"([^"\\;]*)"|(%b))|(filename)\*?=(?:"(?:[^"\\]|\\.)*"|[^";\\ \t]+)|%b)[ \t]*' % (
    _TOKEN,
    rb'(?!name|filename)%b=(?:%b|"[^"\\;=]*")' % (_TOKEN, _TOKEN),
)
_PARAMETERS = re.compile(_PARAMETER, re.IGNORECASE)
_DISPOSITION = re.compile(rb"content-disposition:[ \t]*form-data[ \t]*((?:%b)+)" % _PARAMETER, re.IGNORECASE)
_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"]{1,70})"|([^;"\s]{1,70}))\s*(?=;|$)', re.IGNORECASE)

Pull = Callable[[], Awaitable[bytes]]
"""The next piece of the client's body; `b""` at its end."""


def boundary_of(content_type: bytes) -> bytes:
    """The boundary of a multipart content type. Raises InvalidRequest."""
    named = len(re.findall(rb"boundary\*?[0-9*]*\s*=", content_type, re.IGNORECASE))
    found = _BOUNDARY.search(content_type)
    if found is None or named != 1:
        raise InvalidRequest("The multipart content type does not name one boundary.")
    return found.group(1) or found.group(2)


def _field(headers: bytes) -> tuple[str, bool]:
    """The name in a part's headers, and whether it is a file. Raises InvalidRequest for what can be read in two
    ways."""
    lines = headers.split(b"\r\n")
    found = [line for line in lines if line.lower().startswith(b"content-disposition")]
    disposition = _DISPOSITION.fullmatch(found[0]) if len(found) == 1 else None
    parameters = _PARAMETERS.findall(disposition[1]) if disposition is not None else []
    names = [quoted or token for named, quoted, token, _ in parameters if named]
    if len(names) != 1 or b"\n" in headers.replace(b"\r\n", b"") or any(line[:1] in b" \t" for line in lines):
        raise InvalidRequest(
            "The multipart body is malformed: a part needs one `Content-Disposition: form-data` with one name."
        )
    name = names[0].decode("utf-8", "replace").removesuffix("[]")
    if name != "model" and name.strip().lower() == "model":
        raise InvalidRequest("The form's `model` is spelled in another way.", param="model")
    return name, any(filename for *_, filename in parameters)


class FormScanner:
    """Finds form fields in a stream of bytes. `feed` any pieces; read `fields`, `spans`, `file_begun`."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first boundary has no line break before it; one is imagined, so that all boundaries look alike.
        self._window = b"\r\n"
        self._at = -2
        """Where `_window` begins, counted in the body."""
        self._part: str | None = None
        self._in_headers = False
        self._field_start = 0
        self._parts = 0
        self.start = 0
        """Where the first boundary stands."""
        self.fields: dict[str, str] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        self.file_begun = False
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Scan the next piece. Raises InvalidRequest for what is no form."""
        self._window += data
        while not self.ended and (self._scan_headers() if self._in_headers else self._scan_body()):
            pass

    def _advance(self, count: int) -> None:
        self._window = self._window[count:]
        self._at += count

    def _scan_body(self) -> bool:
        """Inside a part: on to the next boundary. False when more bytes are needed."""
        found = self._window.find(self._delimiter)
        if found < 0:
            self._drop_scanned()
            return False
        after = found + len(self._delimiter)
        if len(self._window) < after + 2:
            return False
        if self._part is not None:
            self._field_ended(found)
        tail = self._window[after : after + 2]
        if not self._parts:
            self.start = self._at + found + 2
            if self._window[:found].strip(b"\r\n"):
                raise InvalidRequest("The multipart body is malformed: it does not begin with its boundary.")
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest(f"The form has more than {MAX_PARTS} fields.")
        if tail == b"--":
            self.ended = True
        elif tail == b"\r\n":
            self._in_headers = True
        else:
            raise InvalidRequest("The multipart body is malformed.")
        self._advance(after + 2)
        return not self.ended

    def _drop_scanned(self) -> None:
        """Keep of the window what a boundary could begin in, or the whole of a field that is being read."""
        if self._part is not None:
            if len(self._window) > MAX_FIELD + len(self._delimiter):
                raise InvalidRequest(f"The form field `{self._part}` is too long.", param=self._part)
            return
        if not self._parts and len(self._window) > len(self._delimiter) + 4:
            raise InvalidRequest("The multipart body is malformed: it does not begin with its boundary.")
        keep = len(self._delimiter) + 2
        if len(self._window) > keep:
            self._advance(len(self._window) - keep)

    def _scan_headers(self) -> bool:
        end = self._window.find(b"\r\n\r\n")
        if max(end, 0 if end >= 0 else len(self._window)) > MAX_PART_HEADERS:
            raise InvalidRequest("The multipart body is malformed: a part's headers are too long.")
        if end < 0:
            return False
        headers = self._window[:end]
        name, is_file = _field(headers)
        self._part = None
        if is_file:
            self.file_begun = True
        elif name in READ_FIELDS:
            self._part = name
        # The line break before the next boundary may be this header's own when the part is empty: leave it in the
        # window.
        self._advance(end + 2)
        self._field_start = self._at + 2
        self._in_headers = False
        return True

    def _field_ended(self, found: int) -> None:
        assert self._part is not None
        text = self._window[2:found] if found >= 2 else b""
        if self._part == "model" and "model" in self.fields:
            raise InvalidRequest("The form has more than one `model`.", param="model")
        self.fields[self._part] = text.decode("utf-8", "replace")
        self.spans[self._part] = (self._field_start, self._field_start + len(text))
        self._part = None


class Upload:
    """A multipart body under way. Implements `gateway.types.Body`."""

    def __init__(self, pull: Pull, boundary: bytes, declared: int | None) -> None:
        self._pull = pull
        self._boundary = boundary
        self._chunks: list[bytes] = []
        self._declared = declared
        self._whole = False
        self.scanner = FormScanner(boundary)

    async def read_fields(self) -> None:
        """Read until the model is known and a file begins, or to the end. Raises InvalidRequest for what is no form."""
        while not (self._whole or ("model" in self.scanner.fields and self.scanner.file_begun)):
            await self._more()

    async def _more(self) -> None:
        piece = await self._pull()
        if piece:
            self.scanner.feed(piece)
            self._chunks.append(piece)
            return
        if not self.scanner.ended:
            raise InvalidRequest("The multipart body ends before its closing boundary.")
        self._whole = True

    @property
    def boundary(self) -> bytes:
        return self._boundary

    @property
    def complete(self) -> bool:
        """Everything has arrived."""
        return self._whole

    @property
    def size(self) -> int | None:
        """Bytes, when the client declared them or all are here."""
        return sum(map(len, self._chunks)) if self._whole else self._declared

    def parts(self) -> Sequence[bytes] | None:
        """Every piece, or None while some have not arrived."""
        return self._chunks if self._whole else None

    async def stream(self) -> AsyncIterator[bytes]:
        """The pieces from the first one on."""
        at = 0
        while True:
            while at < len(self._chunks):
                yield self._chunks[at]
                at += 1
            if self._whole:
                return
            await self._more()

    def field(self, name: str) -> str | None:
        """See `gateway.types.Form`; the names are `READ_FIELDS`."""
        return self.scanner.fields.get(name)

    def renamed(self, model: str) -> Upload | Renamed:
        """The same form with this model's name; itself when it has that already."""
        return self if self.scanner.fields.get("model") == model else Renamed(self, model)


class Renamed:
    """An upload whose `model` field is replaced, or added in front where there is none."""

    def __init__(self, base: Upload, model: str) -> None:
        self._base = base
        span = base.scanner.spans.get("model")
        if span is None:
            self._span = (base.scanner.start, base.scanner.start)
            field = b'--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
            self._text = field % (base.boundary, model.encode())
        else:
            self._span = span
            self._text = model.encode()

    @property
    def size(self) -> int | None:
        """As the base's, by the difference of the names."""
        size = self._base.size
        return None if size is None else size + len(self._text) - (self._span[1] - self._span[0])

    def parts(self) -> Sequence[bytes] | None:
        """As the base's."""
        pieces = self._base.parts()
        if pieces is None:
            return None
        starts = accumulate(map(len, pieces), initial=0)
        return [part for at, piece in zip(starts, pieces, strict=False) for part in self._cut(piece, at)]

    async def stream(self) -> AsyncIterator[bytes]:
        """The pieces with the name replaced; those up to the model field are here already when a call is made of
        them."""
        at = 0
        async for piece in self._base.stream():
            for part in self._cut(piece, at):
                yield part
            at += len(piece)

    def _cut(self, piece: bytes, at: int) -> Iterator[bytes]:
        """What goes out for a piece that begins at `at`. Each is cut by itself: the field may stand behind a long
        file, which is not to be put together for it."""
        start, end = self._span
        ends_here = at < end <= at + len(piece) or at == end == 0
        text = self._text if ends_here else b""
        return filter(None, (piece[: max(0, start - at)], text, piece[max(0, end - at) :]))

    def field(self, name: str) -> str | None:
        """The base's."""
        return self._base.field(name)

    def renamed(self, model: str) -> Upload | Renamed:
        """The base with that name."""
        return self._base.renamed(model)
