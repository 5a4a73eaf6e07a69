"""A budget under thousands of random calls that do not say how much output they want, decided by the real script."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.errors import InsufficientQuota, RateLimited
from gateway.limits.demand import Demand
from gateway.limits.gate import Reservation
from gateway.limits.limitset import LimitSet
from gateway.limits.rolling import Rolling
from tests.limits.tills import Till, quota

INPUT = 250
"""Tokens of each call's input."""
INPUT_COST, OUTPUT_COST = 2_500, 10_000
"""Nano-USD for a token, as a large model costs."""
CEILING = 4096
WORST = INPUT * INPUT_COST + CEILING * OUTPUT_COST
"""What one call can cost at most."""
KIND = ("chat", "fast")


Use = Callable[[random.Random, int], int]


def everything(chance: random.Random, granted: int) -> int:
    """Adversarial: each call goes on until it is cut off."""
    del chance
    return granted


def little(chance: random.Random, granted: int) -> int:
    """Typical: a few hundred tokens, rarely more."""
    return min(granted, int(chance.lognormvariate(5.2, 0.6)))


def either(chance: random.Random, granted: int) -> int:
    """Nearly all little, and some who try to exploit that."""
    return granted if chance.random() < 0.1 else little(chance, granted)


@dataclass
class Simulation:
    """One budget, and those who spend it."""

    till: Till
    limits: LimitSet
    amount: int
    use: Use
    chance: random.Random
    rolling: Rolling = field(default_factory=Rolling)
    running: list[Reservation] = field(default_factory=list)
    served = cut = 0
    spent: int = 0

    def demand(self) -> Demand:
        least = min(CEILING, self.rolling.expect(KIND))
        return Demand(INPUT + least, INPUT, INPUT * INPUT_COST, OUTPUT_COST, least, CEILING)

    async def begin(self) -> bool:
        """Whether one more call was admitted."""
        try:
            self.running.append(await self.till.begin(self.limits, self.demand()))
        except (RateLimited, InsufficientQuota):
            return False
        return True

    def end(self) -> None:
        """Some call ends."""
        call = self.running.pop(self.chance.randrange(len(self.running)))
        assert call.output is not None
        output = self.use(self.chance, call.output)
        cost = INPUT * INPUT_COST + output * OUTPUT_COST
        self.rolling.learn(KIND, output)
        self.till.end(call, INPUT + output, cost)
        self.spent += cost
        self.served += 1
        self.cut += output == call.output

    async def check(self) -> tuple[int, int]:
        """What is used never exceeds the amount, and is what was spent and what is reserved."""
        ((used, held),) = await self.till.counters(self.limits)  # type: ignore[misc]
        assert used <= self.amount
        assert used == self.spent + held
        return used, held

    async def run(self, steps: int) -> None:
        """Calls come and go until the budget is spent, or so many were tried."""
        for step in range(steps):
            for _ in range(self.chance.randrange(1, 6)):
                await self.begin()
            for _ in range(min(len(self.running), self.chance.randrange(6))):
                self.end()
            if step % 10 == 0:
                await self.check()
        while self.running:
            self.end()
        await self.check()

    async def fill(self) -> int:
        """Admit until no more fits: how many calls run at once."""
        count = 0
        while await self.begin():
            count += 1
        return count


def simulation(till: Till, worst: float, use: Use, seed: int = 1) -> Simulation:
    """With a budget of so many calls at their worst."""
    amount = int(worst * WORST)
    return Simulation(till, till.sets(quota("cost", amount)), amount, use, random.Random(seed))


@pytest.mark.parametrize("use", [everything, little, either])
async def test_never_overspent(till: Till, use: Use) -> None:
    """Whether calls use their whole grant or little of it, what is used never exceeds the budget, and in the end
    less is left than the next call needs."""
    found = simulation(till, 30 if use is everything else 6, use)
    await found.run(400)
    assert found.amount - found.spent < INPUT * INPUT_COST + found.demand().least * OUTPUT_COST
    assert found.spent <= found.amount
    assert found.served >= (30 if use is everything else 10)
    if use is little:
        assert found.served > 60
        assert found.cut < 0.1 * found.served


@pytest.mark.parametrize(("worst", "at_once"), [(1, 6), (3, 13), (10, 22), (30, 40), (100, 105)])
async def test_ceilings_do_not_starve(till: Till, worst: int, at_once: int) -> None:
    """An unspent budget holds more calls at once than it holds calls at their worst, far more where it holds few.

    Measured, for calls that are expected to need 480 tokens of output and may have 4096: budgets of 1, 3, 10, 30 and
    100 calls at their worst hold 7, 15, 24, 44 and 114 calls at once.
    """
    found = simulation(till, worst, little)
    # What is expected of a call was learnt elsewhere: this budget is unspent.
    for _ in range(300):
        found.rolling.learn(KIND, little(found.chance, CEILING))
    assert at_once <= await found.fill() <= 1.5 * at_once
    used, held = await found.check()
    assert used == held > 0.9 * found.amount
