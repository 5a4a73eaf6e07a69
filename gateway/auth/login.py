"""How often somebody may try to log in: by account and address together, by address, by account."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.auth.buckets import Buckets


class LoginThrottle:
    """Tries are counted before the password is looked at, and given back to whoever knew it.

    Guessing from one address is stopped early; guessing from many still meets the account's own bucket, which is wide
    enough that nobody shuts its owner out by a few wrong words from elsewhere.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._pairs = Buckets(5, 1 / 30, clock)
        self._addresses = Buckets(20, 1 / 10, clock)
        self._accounts = Buckets(60, 1 / 5, clock)

    def take(self, account: str, address: str) -> float:
        """Use a try up; 0, or the seconds to wait. What is refused uses nothing up."""
        named = self._named(account, address)
        wait = max(bucket.wait(name) for bucket, name in named)
        if wait == 0:
            for bucket, name in named:
                bucket.take(name)
        return wait

    def knew(self, account: str, address: str) -> None:
        """It was the right password."""
        for bucket, name in self._named(account, address):
            bucket.give_back(name)

    def _named(self, account: str, address: str) -> list[tuple[Buckets, str]]:
        account = account.casefold()[:256]
        return [(self._pairs, f"{address} {account}"), (self._addresses, address), (self._accounts, account)]
