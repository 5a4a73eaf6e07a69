"""Whatever a draft says that our schema does not take is left out, with a comment that says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.importing.credentials import Variables, reference, references
from gateway.importing.draft import Noted
from gateway.importing.trying import harmless
from gateway.registry.catalogue import provider_type, template_fields
from gateway.registry.loader import faults_of
from gateway.registry.problems import dotted, shown

if TYPE_CHECKING:
    from gateway.importing.draft import Draft
    from gateway.registry.compiling import Context
    from gateway.registry.problems import Fault, Trail


def repair(draft: Draft, context: Context) -> None:
    """Take out of the draft what `gateway check` would complain about, be its variables set or not. Each round takes
    something away, or leaves it to a variable, so it ends."""
    while draft.providers:
        document = draft.document()
        faults = faults_of(document, {}, context) or faults_of(document, harmless(document, context), context)
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
    if _is_needed(holders, trail):
        if reference(gone) is None:
            _leave_to_variable(document, holders[-1], trail, fault)
            return
        gone, trail = holders.pop(), trail[:2]
    noted: Noted | Draft = next((holder for holder in reversed(holders) if isinstance(holder, Noted)), draft)
    name = _name(gone) or dotted(trail)
    noted.note(f"left out {shown(name)}: {fault.text}")
    if isinstance(gone, Noted):
        for note in gone.notes:
            noted.note(f"{name}: {note}")
    if len(trail) < 2:
        _clear(draft, str(trail[0]) if trail else "providers")
    else:
        del holders[-1][trail[-1]]
        if trail[2:] and trail[2] == "fallbacks" and not holders[-1]:
            del holders[-2]["fallbacks"]


def _leave_to_variable(document: dict[str, Any], provider: Noted, trail: Trail, fault: Fault) -> None:
    """Without this setting it might be asked elsewhere, with the same key: somebody has to say it anew."""
    setting = str(trail[-1])
    variable = Variables(references(document)).free("_".join(map(str, trail[1:])))
    provider[setting] = f"${{{variable}}}"
    provider.note(f"set the variable {variable}: {shown(setting)} was not carried over: {fault.text}")


def _is_needed(holders: list[Any], trail: Trail) -> bool:
    """Whether a provider is not this provider without the setting: where it is, and in whose name it is asked."""
    if len(trail) != 3 or trail[0] != "providers":
        return False
    kind = provider_type(holders[-1].get("type"))
    if kind is None:
        return False
    needed = {name for choice in kind.needs for group in choice for name in group}
    return trail[2] in {"base_url", *template_fields(kind.base_url), *needed}


def _depth(trail: Trail) -> int:
    """How far down it is worth to go: a route without its match, a key without its secret say something else."""
    if trail[:1] == ("providers",):
        return len(trail)
    return 4 if trail[2:3] in (("targets",), ("fallbacks",)) and len(trail) > 3 else 2


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
