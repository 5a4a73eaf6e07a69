"""The prices of deployments as workers know them: the configured one, else the catalogue's, looked up elsewhere.

A worker answers from memory and never waits. What it does not know is looked up by a short-lived process (`lookup.py`),
about a third of a second later; until then the deployment has no price.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from gateway.types import Deployment, Price
from gateway.usage import pricefile
from gateway.usage.pricefile import Answer, Question

TIMEOUT = 30.0
"""Seconds that one lookup may take."""
RETRY_AFTER = 30.0
"""Seconds after a lookup that failed."""
PAUSE = 1.0
"""Seconds between two lookups of what turned up meanwhile: a flood of new names shall not keep a processor busy."""
REFRESH_EVERY = 3600.0
"""Seconds between looks at whether a price has a new day."""
REMEMBERED = 8192
AT_ONCE = 1000


class PriceLookupFailed(Exception):
    """The catalogue could not be asked. The text is for operators."""


class Prices:
    """One worker's prices. `run` as a task looks up what `price_of` did not know."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / pricefile.NAME
        self._catalogue = pricefile.catalogue_version()
        self._known: dict[Question, Answer] = {}
        self._wanted: dict[Question, None] = {}
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self.failure: str | None = None
        """Why the last lookup failed; None after one that did not."""

    def price_of(self, deployment: Deployment) -> Price | None:
        """The price of a call to it, or None: not known, or not known yet. The same object each time."""
        if deployment.price is not None:
            return deployment.price
        question = _question(deployment)
        answer = self._known.get(question)
        if answer is not None:
            return answer.price
        if len(self._wanted) < AT_ONCE:
            self._wanted[question] = None
            self._wake.set()
        return None

    def pending(self, deployment: Deployment) -> bool:
        """Whether its price has not been looked up yet."""
        return deployment.price is None and _question(deployment) not in self._known

    async def refresh(self, deployments: Iterable[Deployment] = ()) -> None:
        """Look up these deployments and whatever is wanted or out of date. Raises PriceLookupFailed."""
        async with self._turn:
            today = datetime.now(UTC).date()
            questions = [_question(deployment) for deployment in deployments if deployment.price is None]
            old = [question for question, answer in self._known.items() if not answer.good(today)]
            missing = [question for question in dict.fromkeys(questions) if question not in self._known]
            wanted = dict.fromkeys([*missing, *self._wanted, *old])
            self._wanted.clear()
            if wanted:
                await self._look_up(list(wanted), today)

    async def run(self) -> None:
        """Look up what is wanted, soon, and prices of a new day, within the hour. Ends by being cancelled."""
        while True:
            try:
                async with asyncio.timeout(REFRESH_EVERY):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.refresh()
                await asyncio.sleep(PAUSE)
            except PriceLookupFailed:
                await asyncio.sleep(RETRY_AFTER)  # `failure` says why; deployments stay without a price

    async def _look_up(self, wanted: list[Question], today: date) -> None:
        stored = await asyncio.to_thread(pricefile.read, self._file, self._catalogue, today)
        found = {question: stored[question] for question in wanted if question in stored}
        unknown = [question for question in wanted if question not in found]
        try:
            for start in range(0, len(unknown), AT_ONCE):
                found |= await asyncio.to_thread(ask, self._file, unknown[start : start + AT_ONCE])
        except PriceLookupFailed as error:
            self.failure = str(error)
            raise
        finally:
            self._learn(found)
        self.failure = None

    def _learn(self, found: dict[Question, Answer]) -> None:
        if len(self._known) + len(found) > REMEMBERED:
            self._known.clear()
        for question, answer in found.items():
            before = self._known.get(question)
            if before is not None and before.price == answer.price:
                # The same object as before: what is worked out for a price is kept by identity.
                answer = before._replace(until=answer.until)
            self._known[question] = answer


def ask(file: Path, questions: list[Question]) -> dict[Question, Answer]:
    """Have a process look these up. Blocks. Raises PriceLookupFailed."""
    command = [sys.executable, "-m", "gateway.usage.lookup", str(file)]
    # Not our environment: it holds credentials, and the lookup needs none.
    env = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, input=msgspec.msgpack.encode(questions), capture_output=True, env=env, timeout=TIMEOUT, check=True
        )
        return pricefile.decode(done.stdout)
    except subprocess.CalledProcessError as error:
        raise PriceLookupFailed(f"the price catalogue cannot be read: {_last_line(error.stderr)}") from None
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        raise PriceLookupFailed(f"the price catalogue cannot be read: {type(error).__name__}") from None


def _question(deployment: Deployment) -> Question:
    provider = deployment.provider
    return Question(provider.type, provider.name, deployment.model, provider.base_url)


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else "no reason given"
