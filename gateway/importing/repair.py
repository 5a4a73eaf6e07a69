"""Whatever a draft says that our schema does not take is left out, with a comment that says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.importing.draft import Noted
from gateway.registry.loader import faults_of
from gateway.registry.problems import dotted, shown

if TYPE_CHECKING:
    from gateway.importing.draft import Draft
    from gateway.registry.compiling import Context
    from gateway.registry.problems import Fault, Trail


def repair(draft: Draft, context: Context) -> None:
    """Take out of the draft what `gateway check` would complain about. Each round takes something away, so it ends."""
    while draft.providers:
        document = draft.document()
        faults = faults_of(document, {}, context)
        if not faults:
            return
        for fault in _once(faults):
            _leave_out(draft, document, fault)


def _once(faults: list[Fault]) -> list[Fault]:
    """Faults that do not meet: what one takes away must not shift the places of another. The later ones first."""
    heads: dict[Trail, Fault] = {}
    for fault in faults:
        heads.setdefault(fault.trail[:2], fault)
    return sorted(heads.values(), key=lambda fault: [str(step).rjust(8) for step in fault.trail[:2]], reverse=True)


def _leave_out(draft: Draft, document: dict[str, Any], fault: Fault) -> None:
    """Remove the deepest thing on the fault's trail that is there, and say so above what holds it."""
    holders: list[Any] = [document]
    for step in fault.trail[: _depth(fault.trail)]:
        if not _has(holders[-1], step):
            break
        holders.append(holders[-1][step])
    gone = holders.pop() if len(holders) > 1 else None
    trail = fault.trail[: len(holders)]
    noted: Noted | Draft = next((holder for holder in reversed(holders) if isinstance(holder, Noted)), draft)
    name = _name(gone) or dotted(trail)
    noted.note(f"left out {shown(name)}: {fault.message}")
    if isinstance(gone, Noted):
        for note in gone.notes:
            noted.note(f"{name}: {note}")
    if len(trail) < 2:
        _clear(draft, str(trail[0]) if trail else "providers")
    else:
        del holders[-1][trail[-1]]


def _depth(trail: Trail) -> int:
    """How far down it is worth to go: a route without its match, a key without its secret say something else."""
    if trail[:1] == ("providers",):
        return len(trail)
    return 4 if trail[2:3] == ("targets",) and len(trail) > 3 else 2


def _clear(draft: Draft, section: str) -> None:
    """A whole section cannot stay."""
    part = getattr(draft, section, None)
    if isinstance(part, dict | list):
        part.clear()
    else:
        draft.providers.clear()


def _name(item: Any) -> str | None:
    """What people call a thing in a list."""
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else None


def _has(holder: Any, step: str | int) -> bool:
    if isinstance(holder, dict):
        return step in holder
    return isinstance(holder, list) and isinstance(step, int) and step < len(holder)
