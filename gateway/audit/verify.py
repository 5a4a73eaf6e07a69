"""Whether the log is as it was written: every entry, its place, and the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from gateway.audit.entries import GENESIS, Head, digest_of, seal_of
from gateway.storage.sql.audit_tables import audit_head, audit_log

if TYPE_CHECKING:
    from gateway.storage.sql.database import Database

BATCH = 500
MOST_FAULTS = 100
"""That are told one by one."""


class Fault(NamedTuple):
    """Something that is not as it was written."""

    seq: int
    kind: str
    """`altered`, `missing`, `unlinked`, `unkeyed`, `truncated`, `surplus`, `head` or `anchor`."""
    told: str


@dataclass(slots=True)
class Verdict:
    """What was found. The log is intact where there is no fault and nothing is unproven."""

    entries: int = 0
    head: Head | None = None
    faults: list[Fault] = field(default_factory=list)
    more_faults: int = 0
    unproven: int = 0
    """Entries whose hashes need a key that was not given."""
    keyed_from: int | None = None
    """The first entry that somebody with the database alone could not have made."""

    @property
    def intact(self) -> bool:
        """Nothing was found, and everything could be looked at."""
        return not self.faults and not self.unproven

    def found(self, seq: int, kind: str, told: str) -> None:
        """Note a fault."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(seq, kind, told))
        else:
            self.more_faults += 1


class Proof:
    """The chain, entry by entry in their order; pure."""

    def __init__(
        self, key: bytes | None = None, keyed_since: int | None = None, anchors: tuple[Head, ...] = ()
    ) -> None:
        self._key = key
        self._since = keyed_since
        self._anchors = {anchor.seq: anchor.hash for anchor in anchors if anchor.seq > 0}
        self._last = Head(0, GENESIS)
        self.verdict = Verdict()

    def entry(self, row: Mapping[str, Any]) -> None:
        """The next row."""
        seq, found = row["seq"], self.verdict.found
        self.verdict.entries += 1
        if seq != self._last.seq + 1:
            first, last = self._last.seq + 1, seq - 1
            found(
                first,
                "missing",
                f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing",
            )
        if row["previous"] != self._last.hash:
            found(seq, "unlinked", f"entry {seq} does not follow the one before it")
        self._hash(row)
        if (anchor := self._anchors.pop(seq, None)) is not None and anchor != row["hash"]:
            found(seq, "anchor", f"entry {seq} is not the one that was anchored")
        self._last = Head(seq, row["hash"], bool(row["keyed"]))

    def _hash(self, row: Mapping[str, Any]) -> None:
        seq, verdict = row["seq"], self.verdict
        keyed = bool(row["keyed"])
        if not keyed and (self._last.keyed or (self._since is not None and seq >= self._since)):
            verdict.found(seq, "unkeyed", f"entry {seq} was written without the key that the log had by then")
        if keyed and verdict.keyed_from is None:
            verdict.keyed_from = seq
        if keyed and self._key is None:
            verdict.unproven += 1
        elif digest_of(row, self._key if keyed else None) != row["hash"]:
            verdict.found(seq, "altered", f"entry {seq} was altered")

    def end(self, heads: list[Mapping[str, Any]]) -> Verdict:
        """What the head says of all that."""
        verdict, last = self.verdict, self._last
        for seq in sorted(self._anchors):
            verdict.found(seq, "anchor", f"entry {seq}, which was anchored, is missing")
        if len(heads) != 1:
            verdict.found(last.seq, "head", "the log's end is missing" if not heads else "the log has several ends")
            return verdict
        [row] = heads
        head = verdict.head = Head(row["seq"], row["hash"], bool(row["keyed"]))
        if head.seq > last.seq:
            verdict.found(last.seq + 1, "truncated", f"the log ends with entry {last.seq}; there were {head.seq}")
        elif head.seq < last.seq:
            verdict.found(head.seq + 1, "surplus", f"the log ended with entry {head.seq}; what follows was added")
        elif head.hash != last.hash or head.keyed != last.keyed:
            verdict.found(last.seq, "head", "the log's end does not belong to its last entry")
        self._seal(head, row["seal"])
        return verdict

    def _seal(self, head: Head, seal: str) -> None:
        if head.keyed and self._key is None:
            self.verdict.unproven += 1
        elif self._since is not None and head.seq < self._since:
            self.verdict.found(head.seq + 1, "truncated", f"entry {self._since}, with which its key began, is missing")
        elif head == Head(0, GENESIS) and seal == "":
            pass  # nothing was ever written
        elif seal_of(head, self._key if head.keyed else None) != seal:
            self.verdict.found(head.seq, "head", "the log's end was altered")


async def verify(
    database: Database, key: bytes | None = None, keyed_since: int | None = None, anchors: tuple[Head, ...] = ()
) -> Verdict:
    """Look at every entry of one moment, while others write. `anchors` are ends that were noted elsewhere before.

    Raises DatabaseUnavailable.
    """
    proof = Proof(key, keyed_since, anchors)
    async with database.connect() as connection:
        if database.is_postgres:
            await connection.execution_options(isolation_level="REPEATABLE READ")
        heads: list[Mapping[str, Any]] = [
            dict(row) for row in (await connection.execute(select(audit_head))).mappings()
        ]
        after = -(2**63)
        while True:
            query = select(audit_log).where(audit_log.c.seq > after).order_by(audit_log.c.seq).limit(BATCH)
            rows = (await connection.execute(query)).mappings().all()
            for row in rows:
                proof.entry(dict(row))
            if len(rows) < BATCH:
                return proof.end(heads)
            after = rows[-1]["seq"]
