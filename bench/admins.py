"""People at the control plane while calls are served: reports, exports, lists and changes, one after the other.

Run as a program of its own: `python -m bench.admins JOB.json`; asks until its time is over, prints one JSON object.
"""

import http.client
import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

READERS = 3
"""At a time; one more changes things."""
CHANGE_SECONDS = 0.5
"""How long the one who changes things waits between two of them."""

Call = tuple[str, str, str, bytes | None]
"""A name for the figures, method, path and body."""


def readings(since: str, until: str, first: int = 0) -> Iterator[Call]:
    """Reports over the whole ledger, their days cut off at both ends, and what a console shows beside; from the
    first-th on, so that not everybody asks for the same."""
    span = {"since": since, "until": until}
    groupings = ("key", "team", "user", "model", "provider", "route", "day", "hour", "team,model")
    reports = [("report by " + by, "/usage", {**span, "by": by}) for by in groupings]
    exports = [(f"CSV by {by}", "/usage.csv", {**span, "by": by}) for by in ("key", "team,model")]
    lists = [
        ("attempts", "/usage/attempts", {"limit": "200"}),
        ("attempts of a key", "/usage/attempts", {"key": "key-99", "limit": "200"}),
        ("keys", "/keys", {}),
        ("providers", "/providers", {}),
        ("audit", "/audit", {}),
        ("registry", "/providers/registry-status", {}),
    ]
    for name, path, query in islice(cycle([*reports, *exports, *lists]), first, None):
        yield name, "GET", f"{path}?{urlencode(query)}" if query else path, None


def changes(made: Sequence[dict[str, Any]]) -> Iterator[Call]:
    """A provider that nobody asks is made, then described anew: each time a new revision for every worker.

    `made` gets the answer of the creation before the next call is asked for.
    """
    fields = {"identifier": f"bench-{os.getpid()}", "name": "Bench", "type": "mock"}
    yield "create", "POST", "/providers", json.dumps(fields).encode()
    for number in count():
        change = json.dumps({"description": f"number {number}"}).encode()
        yield "change", "PATCH", f"/providers/{made[0]['id']}", change


class Admin(threading.Thread):
    """One person with one connection."""

    def __init__(
        self,
        job: Mapping[str, Any],
        calls: Callable[[list[dict[str, Any]]], Iterator[Call]],
        pause: float,
        until: float,
    ) -> None:
        super().__init__()
        self._job, self._pause, self._until = job, pause, until
        self.made: list[dict[str, Any]] = []
        self._calls = calls(self.made)
        self.took: dict[str, list[float]] = defaultdict(list)
        self.failed: list[str] = []

    def run(self) -> None:
        parts = urlsplit(self._job["url"])
        connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=120)
        headers = {"authorization": f"Bearer {self._job['key']}", "content-type": "application/json"}
        for name, method, path, body in self._calls:
            if time.monotonic() >= self._until:
                break
            begun = time.monotonic()
            connection.request(method, f"/api/admin{path}", body, headers)
            response = connection.getresponse()
            answer = response.read()
            if name == "create":
                self.made.append(json.loads(answer))
            if response.status >= 300:
                self.failed.append(f"{name}: {response.status} {answer[:200].decode(errors='replace')}")
            self.took[name].append(time.monotonic() - begun)
            time.sleep(self._pause)
        connection.close()


def reader(job: Mapping[str, Any], number: int) -> Callable[[Sequence[dict[str, Any]]], Iterator[Call]]:
    """What the number-th reader asks; in each window it begins elsewhere."""
    return lambda _made: readings(job["since"], job["until"], 6 * number + 5 * job["window"])


def main() -> None:
    """Do the job that the file describes: `url`, `key`, `since`, `until`, `seconds`, `window`."""
    job = json.loads(Path(sys.argv[1]).read_text())
    until = time.monotonic() + job["seconds"]
    people = [Admin(job, reader(job, number), 0.0, until) for number in range(READERS)]
    people.append(Admin(job, changes, CHANGE_SECONDS, until))
    for person in people:
        person.start()
    for person in people:
        person.join()
    took: dict[str, list[float]] = defaultdict(list)
    for person in people:
        for name, seconds in person.took.items():
            took[name] += seconds
    print(json.dumps({"seconds": took, "failed": [one for person in people for one in person.failed]}), flush=True)


if __name__ == "__main__":
    main()
