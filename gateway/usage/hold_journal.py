"""What a process must remember when it is killed, though not when the machine is: appended to a file, not synced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from gateway.usage.spool_files import frame, frames

COMPACT_BYTES = 8 << 20


class _Named(Protocol):
    call_id: str


T = TypeVar("T", bound=_Named)
_encode = msgspec.msgpack.Encoder().encode


class HoldJournal(Generic[T]):
    """The last value of each call, in one file; emptied whenever no call is left. Without a path it keeps nothing."""

    def __init__(self, path: Path | None, kind: type[T]) -> None:
        """Raises OSError."""
        self._path = path
        record: Any = tuple[str, kind | None]  # type: ignore[valid-type]
        self._decode: Callable[[bytes], tuple[str, T | None]] = msgspec.msgpack.Decoder(record).decode
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600) if path is not None else -1
        self._size = os.fstat(self._fd).st_size if path is not None else 0

    def read(self) -> list[T]:
        """What a predecessor left; from then on the file holds that and nothing else. Raises OSError."""
        if self._path is None:
            return []
        found: dict[str, T] = {}
        for payload, _ in frames(self._path.read_bytes()):
            try:
                call_id, value = self._decode(payload)
            except msgspec.MsgspecError:
                continue
            found.pop(call_id, None)
            if value is not None:
                found[call_id] = value
        self._rewrite(list(found.values()))
        return list(found.values())

    def put(self, value: T) -> None:
        """Remember this value of its call. Raises OSError."""
        self._append((value.call_id, value))

    def drop(self, call_id: str, *, empty: bool) -> None:
        """Forget the call; `empty` says that none is left. Raises OSError."""
        if empty and self._fd >= 0:
            os.ftruncate(self._fd, 0)
            self._size = 0
        else:
            self._append((call_id, None))

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, record: tuple[str, Any]) -> None:
        if self._fd < 0:
            return
        data = frame(_encode(record))
        if os.write(self._fd, data) < len(data):
            os.ftruncate(self._fd, self._size)
            raise OSError(28, "the journal of holds could not be written whole")
        self._size += len(data)
        if self._size > COMPACT_BYTES:
            self.read()

    def _rewrite(self, values: list[T]) -> None:
        assert self._path is not None
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.write_bytes(b"".join(frame(_encode((value.call_id, value))) for value in values))
        fresh.chmod(0o600)
        fresh.replace(self._path)
        self.close()
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._fd).st_size
