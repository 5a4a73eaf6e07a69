"""What the scripted provider charged, and what it was sent: the truth that a ledger is compared with."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.providers.scripted.scenario import Request, Scenario

Outcome = Literal["completed", "cut", "cancelled"]
MAX_ROWS = 100_000
MAX_SEEN = 1_000
_MAX_SEEN_BODY = 64 * 1024
_SECRET = frozenset({b"authorization", b"proxy-authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"})


@dataclass(frozen=True, slots=True)
class Row:
    """One request that was served; `at` is Unix seconds. `cut`: we broke it off. `cancelled`: the client left."""

    id: str
    at: float
    service: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    stream: bool
    status: int
    outcome: Outcome
    request_id: str
    call_id: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived, without its credentials; a long body is cut."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: str


class Bill:
    """Rows in the order they ended, at most 100,000 of them; the totals count every row since the last reset."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._count = 0
        self.reset()

    def reset(self) -> None:
        """Forget rows, totals and requests. Requests still being served are booked on the new bill when they end."""
        self.rows: deque[Row] = deque(maxlen=MAX_ROWS)
        self.seen: deque[Seen] = deque(maxlen=MAX_SEEN)
        self.totals: dict[str, int] = dict.fromkeys(
            ("requests", "input_tokens", "output_tokens", "completed", "cut", "cancelled"), 0
        )

    def open(self, request: Request, scenario: Scenario) -> Entry:
        """Note an accepted request; its row is written when the entry is closed."""
        headers = tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in request.headers if k not in _SECRET)
        body = request.body[:_MAX_SEEN_BODY].decode("utf-8", "replace")
        self.seen.append(Seen(request.method, request.path, headers, body))
        return Entry(self, request, scenario, self._clock())

    def book(self, row: Row) -> None:
        """Write one row."""
        self.rows.append(row)
        self.totals["requests"] += 1
        self.totals["input_tokens"] += row.input_tokens
        self.totals["output_tokens"] += row.output_tokens
        self.totals[row.outcome] += 1

    def next_id(self) -> str:
        """Unique on this bill, across resets."""
        self._count += 1
        return f"bill-{self._count}"

    def as_json(self) -> dict[str, Any]:
        """`{rows, totals}`."""
        return {"rows": [asdict(row) for row in self.rows], "totals": dict(self.totals)}


class Entry:
    """The meter of one request that is being served."""

    __slots__ = ("_at", "_bill", "_request", "_scenario", "closed", "tokens")

    def __init__(self, bill: Bill, request: Request, scenario: Scenario, at: float) -> None:
        self._bill, self._request, self._scenario, self._at = bill, request, scenario, at
        self.tokens = 0
        self.closed = False

    def sent(self, tokens: int) -> None:
        """Output tokens left the provider."""
        self.tokens += tokens

    def close(self, outcome: Outcome) -> None:
        """Book the row; only the first call counts."""
        if self.closed:
            return
        self.closed = True
        charge, request = self._scenario.charge, self._request
        self._bill.book(
            Row(
                id=self._bill.next_id(),
                at=self._at,
                service=charge.service,
                model=charge.model,
                input_tokens=charge.input_tokens,
                output_tokens=self.tokens,
                cached_input_tokens=charge.cached_input_tokens,
                stream=charge.stream,
                status=self._scenario.status,
                outcome=outcome,
                request_id=request.header(b"x-request-id"),
                call_id=request.header(b"x-gateway-call-id") or request.header(b"x-client-request-id"),
            )
        )
