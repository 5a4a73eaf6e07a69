"""The same user, session or prompt to the same deployment, so that its provider's caches hit.

Weighted rendezvous hashing (Thaler and Ravishankar, 1998; Schindelhauer and Schomaker, 2005): when a target comes or
goes, only its own keys move. The load is bounded as in Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing with
Bounded Loads, 2018: who is at more than a quarter above the mean takes no more, and the next in the key's order does.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import ceil, log

from gateway.registry.snapshot import Target
from gateway.routing.facts import Facts
from gateway.routing.strategies.draws import weighted
from gateway.types import Call, Service

EXCESS = 0.25
"""The ε of the paper: how far above the mean a load may be."""
SLACK = 4
"""Calls under way that are no load worth leaving a cache for."""
PREFIX = 1024
"""Bytes of the prompt that decide: system prompts are alike to there, and providers' caches begin at about as many."""
_PROMPTS = {
    Service.CHAT: (b'"messages"',),
    Service.RESPONSES: (b'"instructions"', b'"input"'),
    Service.EMBEDDINGS: (b'"input"',),
}
_OTHERS = (b'"prompt"', b'"input"')
_HEADER = "header:"


def sticky(targets: Sequence[Target], facts: Facts) -> Sequence[Target]:
    """In the order of the call's key, the first that is not loaded above its share in front. Without a key: by
    weight at random."""
    key = key_of(facts.call, facts.sticky_on)
    if key is None or len(targets) == 1:
        return weighted(targets, facts)
    ordered = rendezvous(targets, key)
    loads = [facts.condition(target.deployment).in_flight for target in ordered]
    at = first_within(loads, [target.weight for target in ordered])
    return ordered if at == 0 else [ordered[at], *ordered[:at], *ordered[at + 1 :]]


def rendezvous(targets: Sequence[Target], key: bytes) -> list[Target]:
    """The order that this key has them in, the same in every process; each comes first for a share of keys that its
    weight says. Weight 0 comes last; among those of 0 each has the same share."""
    seed = blake2b(key, digest_size=16).digest()
    return sorted(targets, key=lambda target: _distance(target, seed))


def _distance(target: Target, seed: bytes) -> tuple[bool, float]:
    digest = blake2b(seed + target.deployment.id.encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") + 0.5) / 2**64
    return target.weight == 0, -log(uniform) / (target.weight or 1)


def first_within(loads: Sequence[int], weights: Sequence[int]) -> int:
    """Where the first stands that may take one call more. Where only weights of 0 are left, all have the same share."""
    shares = weights if any(weights) else [1] * len(weights)
    total, weight = sum(loads) + 1, sum(shares)
    for at, (load, share) in enumerate(zip(loads, shares, strict=True)):
        if load + 1 <= max(SLACK, ceil((1 + EXCESS) * total * share / weight)):
            return at
    return 0


def key_of(call: Call, sticky_on: Sequence[str]) -> bytes | None:
    """What the call goes by: the first of these that it has."""
    for word in sticky_on:
        if word == "user":
            found = None if call.user is None else call.user.encode()
        elif word == "prompt":
            found = _prompt(call)
        else:
            found = call.headers.get(word.removeprefix(_HEADER).encode())
        if found:
            return word.encode() + b"\0" + found
    return None


def _prompt(call: Call) -> bytes | None:
    """The beginning of the prompt, where one is."""
    for word in _PROMPTS.get(call.service, _OTHERS):
        at = call.raw.find(word)
        if at >= 0:
            return call.raw[at : at + PREFIX]
    return None
