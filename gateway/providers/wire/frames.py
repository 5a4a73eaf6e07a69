"""Server-sent events as bytes: one kind of line end, frames cut out of reads of any size, a bound on each.

Lines are split on bytes and only whole ones are decoded: a read may end in the middle of a character.
"""

from __future__ import annotations

from gateway.errors import UpstreamError, UpstreamTooLarge

MAX_EVENT = 32 << 20
"""Bytes of one event, as of a whole answer: a streamed picture is one."""
LONG = 1 << 16
"""Bytes from which on an unfinished event is kept in pieces."""

Event = tuple[bytes, bytes]
"""A name (perhaps `b""`) and its data."""


def normalised(data: bytes) -> bytes:
    """One kind of line end. JSON text holds no raw CR, so nothing inside an event changes."""
    held = data.endswith(b"\r")  # the first half of a CRLF, perhaps
    data = (data[:-1] if held else data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data + b"\r" if held else data


def parse_frame(frame: bytes) -> tuple[bytes | None, bytes]:
    """The data (lines joined by line feeds; None without a data line) and the event name of one frame."""
    data: list[bytes] = []
    name = b""
    for line in frame.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value[1:] if value.startswith(b" ") else value)
        elif field == b"event":
            name = value.strip()
        elif field and field not in (b"id", b"retry"):
            # Not a field of the format: a proxy's error page, say. Kept as data, where it fails to parse.
            data.append(line)
    return (b"\n".join(data) if data else None), name


class LongEvent:
    """An event of which much has come and the end has not: joined once, when that is here."""

    __slots__ = ("_last", "_pieces", "size")

    def __init__(self, begun: bytes) -> None:
        self._pieces = [begun]
        self._last = begun[-1:]
        self.size = len(begun)

    def add(self, data: bytes) -> bytes:
        """Everything so far once an empty line is in it, of any kind of line ends; before that `b""`."""
        self._pieces.append(data)
        self.size += len(data)
        seam = self._last + data
        self._last = data[-1:]
        if b"\n\n" in seam or b"\n\r" in seam or b"\r\r" in seam:
            return b"".join(self._pieces)
        return b""


class Unfinished:
    """What has come of an event whose end has not."""

    __slots__ = ("_long", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._long: LongEvent | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._rest) if self._long is None else self._long.size

    def joined(self, data: bytes) -> bytes:
        """It and `data`; of a long one nothing before an empty line has come."""
        if not self._rest:
            return data
        if len(self._rest) < LONG:
            data, self._rest = self._rest + data, b""
            return data
        if self._long is None:
            self._long = LongEvent(self._rest)
        whole = self._long.add(data)
        if whole:
            self._rest, self._long = b"", None
        return whole

    def keep(self, rest: bytes) -> None:
        """This much is left of what `joined` told."""
        self._rest = rest

    def clear(self) -> None:
        """Nothing is waited for any more."""
        self._rest, self._long = b"", None


class EventSplitter:
    """Whole events out of a native stream. Implements `gateway.providers.chat.stream.Framing`."""

    fault: type[UpstreamError] = UpstreamTooLarge

    __slots__ = ("_unfinished", "too_long")

    def __init__(self) -> None:
        self.too_long = False
        self._unfinished = Unfinished()

    def feed(self, data: bytes) -> list[Event]:
        """The events that became whole; comments are none. One beyond `MAX_EVENT` never is: `too_long` says so."""
        unfinished = self._unfinished
        data = unfinished.joined(data)
        if b"\r" in data:
            data = normalised(data)
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            end = 0
        if data:
            unfinished.keep(data[end:])
        if unfinished.size > MAX_EVENT:
            self.too_long = True
            unfinished.clear()
        if not end:
            return []
        return [event for frame in data[: end - 2].split(b"\n\n") if (event := _event_of(frame)) is not None]

    def end(self) -> list[Event]:
        """The last event, where a server ends it with less than an empty line."""
        return self.feed(b"\n\n") if self._unfinished.size else []


def _event_of(frame: bytes) -> Event | None:
    payload, name = parse_frame(frame.strip(b"\n"))
    return None if payload is None else (name, payload)
