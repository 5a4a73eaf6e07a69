"""Model groups become routes: what clients ask for, the deployments behind it, and what stands in when they fail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.importing.credentials import plain
from gateway.importing.draft import Noted, name_for
from gateway.importing.litellm.deployments import SHARES
from gateway.importing.litellm.reading import pairs
from gateway.registry.problems import shown
from gateway.types import DEFAULT_MAX_ATTEMPTS

if TYPE_CHECKING:
    from gateway.importing.litellm.deployments import Group, Member
    from gateway.importing.litellm.reading import Reader

_STRATEGIES = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "usage-based-routing": "usage_based",
    "usage-based-routing-v2": "usage_based",
    "latency-based-routing": "least_latency",
    "cost-based-routing": "cost_optimized",
}
_HEAVIEST = 1_000_000
_MOST_ATTEMPTS = 20


def add_routes(reader: Reader, groups: dict[str, Group]) -> None:
    """A route for each group, the ones with wildcards last; then aliases."""
    word = _strategy(reader)
    fallbacks = _fallbacks(reader, groups)
    made: dict[str, Noted] = {}
    for group in sorted(groups.values(), key=lambda group: _is_wild(group.name)):
        if not group.members:
            for note in group.notes:
                reader.draft.note(f"{shown(group.name)}: {note}")
            continue
        route = _route(group, word, {route["name"] for route in made.values()})
        _append(route, [groups[name] for name in fallbacks.get(group.name, ())])
        made[group.name] = route
    reader.draft.routes += made.values()
    _aliases(reader, made)
    _special(reader, made)


def _is_wild(name: str) -> bool:
    """LiteLLM knows only this wildcard."""
    return "*" in name


def _pattern(name: str) -> str:
    """A group's name as a pattern of ours, in which only `*` is one."""
    return str(plain(re.sub(r"[?[]", r"[\g<0>]", name)))


def _strategy(reader: Reader) -> str:
    found = reader.setting("routing_strategy")
    if found is None:
        return "weighted"
    word = str(found[0])
    if word not in _STRATEGIES:
        reader.lost(found[1], f"{shown(word)} is no strategy here, `weighted` is used")
    return _STRATEGIES.get(word, "weighted")


def _route(group: Group, word: str, taken: set[str]) -> Noted:
    route = Noted(name=name_for(group.name, taken), match={"model": _pattern(group.name)})
    for note in group.notes:
        route.note(note)
    members = group.members
    if any(member.order is not None for member in members):
        last = float("inf")
        members = sorted(members, key=lambda member: last if member.order is None else member.order)
        if len({member.order for member in members}) < len(members):
            route.note("deployments of the same `order` are tried in the file's order: they share no load here")
        word = "priority"
    if len(members) > 1 and word != "priority":
        route["strategy"] = word
    if len(members) > 1 and word != "weighted" and any(member.shares["weight"] is not None for member in members):
        why = "calls go by `order`" if word == "priority" else "it counts in `simple-shuffle` alone"
        route.note(f"`weight` was not carried over: {why}")
    route["targets"] = [_target(member) for member in members]
    if route.get("strategy") == "weighted":
        for target, weight in zip(route["targets"], _weights(members, route), strict=True):
            target["weight"] = weight
    return route


def _target(member: Member) -> dict[str, Any]:
    return {"provider": member.provider, "model": plain(member.model)}


def _weights(members: list[Member], route: Noted) -> list[int]:
    """Whole numbers in the same proportions. As with LiteLLM the first deployment decides what all of them go by;
    whoever has none of it is not drawn."""
    decisive = next((name for name in SHARES if members[0].shares[name] is not None), None)
    if decisive is None:
        if any(weight is not None for member in members for weight in member.shares.values()):
            route.note("the first deployment has no `weight`, `rpm` or `tpm`: all of them have the same share")
        return [1] * len(members)
    weights = [max(0.0, member.shares[decisive] or 0.0) for member in members]
    if any(member.shares[decisive] is None for member in members):
        route.note(f"calls are divided by {shown(decisive)}, as the first deployment has it: those without are spare")
    scale = 1.0 if all(weight == int(weight) for weight in weights) else 100.0
    scale = min(scale, _HEAVIEST / max(1.0, *weights))
    found = [max(1 if weight > 0 else 0, int(weight * scale)) for weight in weights]
    if any(found):
        return found
    route.note(f"{shown(decisive)} is 0 for all of them: all have the same share")
    return [1] * len(members)


# ---- what stands in


def _fallbacks(reader: Reader, groups: dict[str, Group]) -> dict[str, list[str]]:
    """The groups that stand in for each group."""
    found: dict[str, list[str]] = {}
    setting = reader.setting("fallbacks")
    for name, others in pairs(setting[0]) if setting is not None else ():
        known = [other for other in others if other in groups and other != name]
        if setting is not None and (len(known) < len(others) or (name not in groups and name != "*")):
            reader.lost(setting[1], f"the fallbacks of {shown(name)} name models that are not in `model_list`")
        found.setdefault(name, []).extend(known)
    default = reader.setting("default_fallbacks")
    listed = default[0] if default is not None and isinstance(default[0], list) else []
    everybody = [*found.pop("*", []), *(name for name in listed if isinstance(name, str) and name in groups)]
    return {name: list(dict.fromkeys(found.get(name) or [n for n in everybody if n != name])) for name in groups}


def _append(route: Noted, others: list[Group]) -> None:
    """Deployments of other groups, to be tried when those of the route have failed."""
    known = {(target["provider"], target["model"]) for target in route["targets"]}
    behind = [_target(member) for group in others for member in group.members]
    places = {(target["provider"], target["model"]): target for target in behind}
    targets = [target for place, target in places.items() if place not in known]
    if not targets:
        return
    if any(len(group.members) > 1 for group in others):
        route.note("what stands in when these fail is tried in the file's order: it shares no load here")
    if "strategy" in route:
        # Weight 0 stands behind, whatever chooses among the others.
        targets = [{**target, "weight": 0} for target in targets]
    route["targets"] += targets
    if len(route["targets"]) > DEFAULT_MAX_ATTEMPTS:
        # Else a call might end before it has got to them.
        route["max_attempts"] = min(_MOST_ATTEMPTS, len(route["targets"]))


def _special(reader: Reader, made: dict[str, Noted]) -> None:
    """Fallbacks for single reasons."""
    for name, failure in (
        ("context_window_fallbacks", "context_window"),
        ("content_policy_fallbacks", "content_filter"),
    ):
        setting = reader.setting(name)
        if setting is None:
            continue
        for group, others in pairs(setting[0]):
            known = [other for other in others if other in made and other != group]
            if group not in made or not known:
                reader.lost(setting[1], f"{shown(group)} or what stands in for it is not in `model_list`")
                continue
            made[group].setdefault("fallbacks", {})[failure] = _stand_in(made, group, known[0], failure)
            if len(known) > 1:
                made[group].note(f"only the first of its {shown(name)} was carried over")


def _stand_in(made: dict[str, Noted], group: str, other: str, failure: str) -> str:
    """The other group's route; of one that leads back here, where ours may not go in a circle, its first target."""
    named = {route["name"]: route for route in made.values()}
    at: Any = made[other]["name"]
    while at in named and at != made[group]["name"]:
        at = named[at].get("fallbacks", {}).get(failure)
    if at not in named:
        return str(made[other]["name"])
    target = made[other]["targets"][0]
    found = f"{target['provider']}/{target['model']}"
    made[group].note(f"its `{failure}`, {shown(other)}, leads back here: only {shown(found)} of it stands in")
    return found


def _aliases(reader: Reader, made: dict[str, Noted]) -> None:
    found = reader.setting("model_group_alias")
    aliases, trail = found if found is not None and isinstance(found[0], dict) else ({}, ())
    for alias, target in aliases.items():
        group = str(target.get("model") if isinstance(target, dict) else target)
        if group not in made or alias in made:
            reader.lost((*trail, alias), "it leads to no model, or has the name of one")
            continue
        for name in sorted(map(str, target.keys() - {"model"})) if isinstance(target, dict) else ():
            if name != "hidden":
                reader.lost((*trail, alias, name))
            elif target[name]:
                reader.lost((*trail, alias, name), "`/v1/models` lists every alias that the caller's key may use")
        reader.draft.aliases[plain(alias)] = plain(group)
