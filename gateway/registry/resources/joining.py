"""The file and the database as one snapshot. What does not fit is parked with a reason; the file always stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.registry.compiling import compile_document, revision
from gateway.registry.loader import check
from gateway.registry.problems import dotted
from gateway.registry.resources.errors import Problem
from gateway.registry.resources.kinds import Kind
from gateway.registry.resources.merging import Merged, Unlock, merge
from gateway.registry.resources.unlocking import Read, seals, stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.registry.compiling import Context
    from gateway.registry.interpolation import Interpolated
    from gateway.registry.problems import Fault
    from gateway.registry.resources.fragment import Fragment
    from gateway.registry.snapshot import Snapshot

ROUNDS = 50
"""How often what remains is looked at again: what one parked resource leaves behind may be another one's fault."""


@dataclass(frozen=True, slots=True)
class Joined:
    """One snapshot, and why which resources of the database are not in it."""

    snapshot: Snapshot
    parked: tuple[Problem, ...] = ()


def join(base: Interpolated, fragment: Fragment, unlock: Unlock, context: Context, read: Read) -> Joined:
    """The file's checked document with what the database adds to it. Never raises for what the database says. Its
    revision is the same whoever joins them, whether or not `unlock` opens what is sealed; `read` follows references."""
    merged, problems = fitted(base, fragment, unlock, context)
    sealed = merge(base, fragment, merged.parked, stand_ins, context)
    found = revision([sealed.interpolated.data, seals(fragment, read)], context)
    snapshot = replace(compile_document(merged.interpolated, context), revision=found)
    told = tuple(f"{one.kind} `{one.name}` of the database is parked: {one.message}" for one in problems)
    parked = tuple(dict.fromkeys(told))
    return Joined(
        replace(snapshot, warnings=(*snapshot.warnings, *parked), parked=parked, resources=fragment.revision),
        tuple(problems),
    )


def fitted(base: Interpolated, fragment: Fragment, unlock: Unlock, context: Context) -> tuple[Merged, list[Problem]]:
    """The document without what does not fit, and why that does not."""
    parked: set[str] = set()
    problems: list[Problem] = []
    for _ in range(ROUNDS):
        merged = merge(base, fragment, frozenset(parked), unlock, context)
        found = [*_clashes(merged), *_problems(merged, check(merged.interpolated, context))]
        fresh = [one for one in found if one.id not in parked]
        if not fresh:
            return merged, problems
        problems += fresh
        parked |= {one.id for one in fresh}
        if "" in parked:
            break
    # A fault that nobody can be blamed for, or no end of them: the file alone is known to be good.
    pieces = (*fragment.providers, *fragment.routes, *fragment.teams, *fragment.limits)
    every = frozenset(one.id for one in pieces)
    return merge(base, fragment, every, unlock, context), problems


def _clashes(merged: Merged) -> Iterator[Problem]:
    for origin, reason in merged.clashes.items():
        yield Problem(origin.kind, origin.id, origin.name, "name", reason)


def _problems(merged: Merged, faults: Iterable[Fault]) -> Iterator[Problem]:
    for fault in faults:
        found = merged.origin(fault.trail)
        if found is None:
            yield Problem("", "", "", dotted(fault.trail), fault.text)
            continue
        origin, place = found
        if origin.kind is Kind.RULE and place[:2] == ("match", "key"):
            continue  # keys that are made at run time are not in the document
        field = ".".join(map(str, (*place, fault.lacks) if fault.lacks else place))
        yield Problem(origin.kind, origin.id, origin.name, field, fault.text)
