"""Looks prices up in a process of its own: `python -m gateway.usage.lookup FILE`, questions in, answers out (msgpack).

Processes that start together take turns at the file's lock, so that one imports the catalogue and the rest read what it
found.
"""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from gateway.usage import pricefile
from gateway.usage.pricefile import Answer, Question


def main(path: Path, asked: Sequence[Question]) -> dict[Question, Answer]:
    """Answer from the file, and from the catalogue what the file does not know; keep that in the file if possible."""
    today = datetime.now(UTC).date()
    catalogue = pricefile.catalogue_version()
    with _turn(path):
        known = pricefile.read(path, catalogue, today)
        unknown = [question for question in asked if question not in known]
        if unknown:
            found = _look_up(unknown)
            known = found if len(known) + len(found) > pricefile.MOST else known | found
            try:
                pricefile.write(path, catalogue, known)
            except OSError as error:
                sys.stderr.write(f"prices are not kept: {error}\n")
    return {question: known[question] for question in asked if question in known}


def _look_up(unknown: Sequence[Question]) -> dict[Question, Answer]:
    # Here and not above: most processes need only the file.
    from gateway.usage.catalogue import PriceBook  # noqa: PLC0415

    book = PriceBook()
    return {question: Answer(*book.find(*question)) for question in unknown}


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Alone with the file; where its directory takes no lock, together."""
    try:
        lock = path.with_name(f"{path.name}.lock").open("ab")
    except OSError:
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.stdout.buffer.write(pricefile.encode(main(Path(sys.argv[1]), pricefile.questions(sys.stdin.buffer.read()))))
