"""Answers of the price catalogue, kept in a small file of the data directory so that each is looked up once.

The file is a cache: whatever is wrong with it, the catalogue is asked again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.types import Price

FORMAT = 4
"""Changes with what is stored, and with how the catalogue is read."""
NAME = "prices.msgpack"
MOST = 10_000
"""Answers that are kept; a file that would be larger starts again."""


class Question(NamedTuple):
    """Whose price is wanted."""

    type: str
    provider: str
    """The name of the provider in the configuration."""
    model: str
    base_url: str


class Answer(NamedTuple):
    """A price, None if the catalogue has none, and the day (UTC) from which it has to be asked again."""

    price: Price | None
    until: date | None = None

    def good(self, today: date) -> bool:
        """Whether it still holds."""
        return self.until is None or today < self.until


class _File(msgspec.Struct):
    format: int
    catalogue: str
    answers: list[tuple[Question, Answer]]


_READ = msgspec.msgpack.Decoder(_File)
_ANSWERS = msgspec.msgpack.Decoder(list[tuple[Question, Answer]])
_QUESTIONS = msgspec.msgpack.Decoder(list[Question])


def catalogue_version() -> str:
    """The installed catalogue's version; empty when there is none."""
    try:
        return version("genai-prices")
    except PackageNotFoundError:
        return ""


def read(path: Path, catalogue: str, today: date) -> dict[Question, Answer]:
    """The answers in the file that still hold; nothing when it is missing, damaged or of another catalogue."""
    try:
        stored = _READ.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    if stored.format != FORMAT or stored.catalogue != catalogue:
        return {}
    return {question: answer for question, answer in stored.answers if answer.good(today)}


def write(path: Path, catalogue: str, answers: Mapping[Question, Answer]) -> None:
    """Replace the file as a whole. Raises OSError."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(msgspec.msgpack.encode(_File(FORMAT, catalogue, list(answers.items()))))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def encode(answers: Mapping[Question, Answer]) -> bytes:
    """The answers for another process."""
    return msgspec.msgpack.encode(list(answers.items()))


def decode(content: bytes) -> dict[Question, Answer]:
    """What `encode` made. Raises msgspec.DecodeError."""
    return dict(_ANSWERS.decode(content))


def questions(content: bytes) -> list[Question]:
    """A list of questions from another process. Raises msgspec.DecodeError."""
    return _QUESTIONS.decode(content)
