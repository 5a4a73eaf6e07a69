"""`gateway health`: what stands in its table."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from gateway.cli import main
from gateway.registry.resources.fragment import Credential, Fragment, Owner, Piece
from gateway.registry.resources.shelf import Shelf

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_providers_made_over_the_api_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any worker has spoken of them, with those of the file, and none of their secrets is opened."""
    config, data = tmp_path / "gateway.yaml", tmp_path / "data"
    config.write_text("version: 1\nproviders: {mock: {type: mock, models: [mock-small]}}\n")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(data))

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["gateway", *words])
        assert not main()
        return capsys.readouterr().out

    run("migrate")
    settings = {"type": "openai", "base_url": "https://acme.example/v1"}
    sealed = Credential("c-1", "main", secret="nobody can open this", fields=["api_key"])
    Shelf(data).keep(Fragment(1, [Owner("p-1", "acme", settings, [Piece("m-1", "big", {})], [sealed])]))
    found = json.loads(run("health", "--config", str(config), "--json"))["deployments"]
    assert [(line["deployment"], line["state"]) for line in found] == [
        ("mock/mock-small", "healthy"),
        ("acme/big", "healthy"),
    ]
    assert "acme/big" in run("health", "--config", str(config), "--provider", "acme")
