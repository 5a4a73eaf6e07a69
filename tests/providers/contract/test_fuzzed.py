"""What `make fuzz` tries: every type of provider is among it, and its first inputs pass."""

from __future__ import annotations

import random

import pytest

from gateway.types import Surface

from .fuzzed import PLAYERS, reader_of, targets
from .test_contract import DIALECTS


def test_every_type_is_fuzzed() -> None:
    """By itself, or by another that is the very same code."""
    read = {(type(player.dialect), repr(getattr(player.dialect, "_traits", None))) for player in PLAYERS.values()}
    for name, dialect in DIALECTS.items():
        assert (type(dialect), repr(getattr(dialect, "_traits", None))) in read, name
    surfaces = {surface for player in PLAYERS.values() for surface in player.surfaces}
    assert surfaces == set(Surface)
    assert {"azure", "watsonx", "bedrock", "bedrock-claude", "vertex-claude", "openai-responses"} <= PLAYERS.keys()
    assert "framed:bedrock" in targets()


@pytest.mark.parametrize("target", targets())
def test_first_inputs(target: str) -> None:
    """The inputs that fuzzing begins with are read, whole and damaged."""
    read, seeds = reader_of(target)
    assert seeds
    random.seed(target)
    for seed in seeds:
        read(seed)
        damaged = bytearray(seed)
        if damaged:
            damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
        read(bytes(damaged))
        read(seed[: random.randrange(len(seed) + 1)])
