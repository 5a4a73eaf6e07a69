"""Server-sent events as bytes: one kind of line end, frames cut out of reads of any size, a bound on each.

Lines are split on bytes and only whole ones are decoded: a read may end in the middle of a character.
"""

from __future__ import annotations

from gateway.errors import UpstreamError, UpstreamTooLarge

MAX_EVENT = 1 << 20
"""Bytes of one event of a stream whose events are small."""
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


class EventSplitter:
    """Whole events out of a native stream. Implements `gateway.providers.chat.stream.Framing`."""

    fault: type[UpstreamError] = UpstreamTooLarge

    __slots__ = ("_rest", "too_long")

    def __init__(self) -> None:
        self.too_long = False
        self._rest = b""

    def feed(self, data: bytes) -> list[Event]:
        """The events that became whole; comments are none. One beyond `MAX_EVENT` never is: `too_long` says so."""
        if self._rest:
            data = self._rest + data
        if b"\r" in data:
            data = normalised(data)
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            self._keep(data)
            return []
        self._keep(data[end:])
        return [event for frame in data[: end - 2].split(b"\n\n") if (event := _event_of(frame)) is not None]

    def end(self) -> list[Event]:
        """The last event, where a server ends it with less than an empty line."""
        return self.feed(b"\n\n") if self._rest.strip() else []

    def _keep(self, rest: bytes) -> None:
        self._rest = rest
        if len(rest) > MAX_EVENT:
            self.too_long, self._rest = True, b""


def _event_of(frame: bytes) -> Event | None:
    payload, name = parse_frame(frame.strip(b"\n"))
    return None if payload is None else (name, payload)
