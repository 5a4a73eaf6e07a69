"""Drafts as text: what is written is what is read."""

from __future__ import annotations

from pathlib import Path

from gateway.importing.draft import Draft, Noted
from gateway.importing.emit import emit
from gateway.registry.yaml_reader import read_yaml


def test_a_name_that_looks_like_a_variable() -> None:
    """In a mapping on one line it is quoted, as its value is: a brace would end the mapping."""
    draft = Draft("x.yaml")
    draft.providers["a"] = Noted(type="ollama", models={"${M}": Noted(), "m": Noted()}, api_key="${K}")
    assert read_yaml(Path("out.yaml"), emit(draft)).data == {"version": 1, "providers": draft.providers}
