"""Prices as workers get them: never waiting, never importing the catalogue, looked up once by another process."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.types import Deployment, Price, PriceTier, Provider
from gateway.usage import lookup, pricefile, prices
from gateway.usage.pricefile import Answer, Question
from gateway.usage.prices import PriceLookupFailed, Prices, ask
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

TODAY = datetime.now(UTC).date()
OPENAI = Provider("house", "openai", "https://api.openai.com/v1")
KNOWN = Deployment("house/gpt-4o", OPENAI, "gpt-4o")
UNKNOWN = Deployment("house/nothing", OPENAI, "nothing-of-this-name")
OWN = Price(1.0, 2.0)
CONFIGURED = Deployment("house/mine", OPENAI, "mine", price=OWN)
ASKED = Question("openai", "house", "gpt-4o", OPENAI.base_url)
TIERED = Price(0.1, 2.5, per_unit=3.083333333333333e-05, tiers=(PriceTier(5, 1.0, 2.0),), version="x:1")


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> list[list[Question]]:
    """No process is started any more: what would have been asked is noted instead."""
    asked: list[list[Question]] = []

    def refuse(file: Path, questions: list[Question]) -> dict[Question, Answer]:
        asked.append(questions)
        return {}

    monkeypatch.setattr(prices, "ask", refuse)
    return asked


async def test_look_up(tmp_path: Path) -> None:
    """A price is unknown at first and known after a refresh; a model without one stays None and is not asked again."""
    book = Prices(tmp_path)
    assert book.price_of(KNOWN) is None
    assert book.pending(KNOWN)
    await book.refresh([KNOWN, UNKNOWN, CONFIGURED])
    price = book.price_of(KNOWN)
    assert price is not None
    assert price.version.startswith("genai-prices:")
    assert book.price_of(KNOWN) is price
    assert book.price_of(UNKNOWN) is None
    assert not book.pending(UNKNOWN)
    assert book.failure is None


async def test_a_second_worker_reads_the_file(tmp_path: Path, refusing: list[list[Question]]) -> None:
    """What one worker had looked up, misses included, the next one knows without another process."""
    lookup.main(tmp_path / pricefile.NAME, [ASKED, ASKED._replace(model="nothing-of-this-name")])
    book = Prices(tmp_path)
    await book.refresh([KNOWN, UNKNOWN])
    assert book.price_of(KNOWN) is not None
    assert not book.pending(UNKNOWN)
    assert refusing == []


async def test_a_configured_price_wins(tmp_path: Path, refusing: list[list[Question]]) -> None:
    """A deployment with a price of its own has that, at once, and nobody is asked."""
    book = Prices(tmp_path)
    assert book.price_of(CONFIGURED) is OWN
    assert not book.pending(CONFIGURED)
    await book.refresh([CONFIGURED])
    assert refusing == []


async def test_models_that_turn_up_later(tmp_path: Path) -> None:
    """A deployment that nobody announced gets its price soon after it was first asked for."""
    book = Prices(tmp_path)
    task = asyncio.create_task(book.run())
    try:
        assert book.price_of(KNOWN) is None
        await eventually(lambda: book.price_of(KNOWN) is not None)
    finally:
        task.cancel()


async def test_a_failing_lookup_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the catalogue cannot be asked, the price stays unknown, the reason is there, and it is asked later again."""
    monkeypatch.setattr(prices, "RETRY_AFTER", 0.01)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-such-python"))
    book = Prices(tmp_path)
    with pytest.raises(PriceLookupFailed, match="cannot be read: FileNotFoundError"):
        await book.refresh([KNOWN])
    assert book.failure is not None
    assert book.price_of(KNOWN) is None
    task = asyncio.create_task(book.run())
    try:
        monkeypatch.undo()
        await eventually(lambda: book.price_of(KNOWN) is not None)
        assert book.failure is None
    finally:
        task.cancel()


def test_what_the_process_says_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends badly is an error with its last words; one that answers nonsense is an error too."""
    with pytest.raises(PriceLookupFailed, match="Error"):
        ask(tmp_path / "x", [("a",)])  # type: ignore[list-item]
    monkeypatch.setattr(sys, "executable", "/bin/echo")
    with pytest.raises(PriceLookupFailed, match=r"ValidationError|DecodeError"):
        ask(tmp_path / "x", [ASKED])


async def test_wants_are_bounded(tmp_path: Path, refusing: list[list[Question]]) -> None:
    """A flood of unknown names costs bounded memory and is asked in bounded portions."""
    book = Prices(tmp_path)
    many = [Deployment(f"house/{n}", OPENAI, str(n)) for n in range(3000)]
    for deployment in many:
        book.price_of(deployment)
    await book.refresh()
    await book.refresh(many)
    assert [len(questions) for questions in refusing] == [1000, 1000, 1000, 1000]
    book._learn({ASKED._replace(model=str(n)): Answer(None) for n in range(prices.REMEMBERED)})
    book._learn({ASKED: Answer(OWN)})
    assert len(book._known) == 1


async def test_a_price_of_a_past_day_is_asked_again(tmp_path: Path, refusing: list[list[Question]]) -> None:
    """A price holds until the day on which it changes; then it is looked up again, and serves until that is done."""
    book = Prices(tmp_path)
    book._learn({ASKED: Answer(OWN, TODAY)})
    await book.refresh()
    assert refusing == [[ASKED]]
    assert book.price_of(KNOWN) is OWN
    book._learn({ASKED: Answer(Price(1.0, 2.0), TODAY + timedelta(2))})
    await book.refresh()
    assert len(refusing) == 1
    assert book.price_of(KNOWN) is OWN


def test_the_file_keeps_everything(tmp_path: Path) -> None:
    """Prices with tiers, misses and days come back equal; what is out of date does not come back."""
    file = tmp_path / "f"
    answers = {
        ASKED: Answer(TIERED),
        ASKED._replace(model="b"): Answer(None),
        ASKED._replace(model="c"): Answer(TIERED, TODAY + timedelta(1)),
        ASKED._replace(model="d"): Answer(TIERED, TODAY),
    }
    pricefile.write(file, "1", answers)
    del answers[ASKED._replace(model="d")]
    assert pricefile.read(file, "1", TODAY) == answers
    assert pricefile.decode(pricefile.encode(answers)) == answers
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode([1]), b"x" * 1000])
def test_a_damaged_file_is_no_file(tmp_path: Path, content: bytes) -> None:
    """A file that cannot be read, or is another catalogue's, answers nothing and is replaced."""
    file = tmp_path / "f"
    assert pricefile.read(file, "1", TODAY) == {}
    file.write_bytes(content)
    assert pricefile.read(file, "1", TODAY) == {}
    found = lookup.main(file, [ASKED])
    assert found[ASKED].price is not None
    assert pricefile.read(file, "another", TODAY) == {}
    assert pricefile.read(file, pricefile.catalogue_version(), TODAY) == found


def test_a_directory_that_takes_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing can be stored, prices are found all the same."""
    assert lookup.main(tmp_path / "missing" / "f", [ASKED])[ASKED].price is not None
    assert "prices are not kept" in capsys.readouterr().err


def test_the_file_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would grow too large starts again with what was asked last."""
    monkeypatch.setattr(pricefile, "MOST", 2)
    file = tmp_path / "f"
    for model in ("gpt-4o", "gpt-4o-mini", "gpt-4.1"):
        lookup.main(file, [ASKED._replace(model=model)])
    assert [question.model for question in pricefile.read(file, pricefile.catalogue_version(), TODAY)] == ["gpt-4.1"]


def _ask_in_turn(file: Path, number: int) -> int:
    found = ask(file, [ASKED, ASKED._replace(model=f"gpt-4o-{number}")])
    return len(found)


def test_workers_that_start_together(tmp_path: Path) -> None:
    """Processes that look up at the same time lose none of each other's answers."""
    file = tmp_path / pricefile.NAME
    pool = multiprocessing.get_context("fork").Pool(3)
    found = pool.starmap(_ask_in_turn, [(file, number) for number in range(3)])
    # To the end, not terminated: one that is killed while it waits for work leaves the others waiting for ever.
    pool.close()
    pool.join()
    assert found == [2, 2, 2]
    stored = pricefile.read(file, pricefile.catalogue_version(), TODAY)
    assert {question.model for question in stored} == {"gpt-4o", "gpt-4o-0", "gpt-4o-1", "gpt-4o-2"}


def test_workers_do_not_import_the_catalogue() -> None:
    """Nothing of a worker loads the catalogue's package: its size is not theirs."""
    code = "import gateway.app, gateway.usage.prices, gateway.usage.cost, sys; print('genai_prices' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


def test_the_environment_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that looks up gets none of our variables: they hold credentials."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nenv > {tmp_path}/env\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-others")
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(PriceLookupFailed):
        ask(tmp_path / "x", [ASKED])
    assert "not-for-others" not in (tmp_path / "env").read_text()


def test_a_day_is_compared_as_a_day() -> None:
    """An answer holds through the day before its change, and no longer."""
    answer = Answer(None, date(2026, 9, 1))
    assert answer.good(date(2026, 8, 31))
    assert not answer.good(date(2026, 9, 1))
    assert Answer(None).good(date.max)
