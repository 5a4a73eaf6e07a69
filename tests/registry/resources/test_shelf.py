"""Where a replica keeps the database's part of the configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.registry.resources.fragment import BadFragment, Fragment, Piece
from gateway.registry.resources.shelf import Shelf
from tests.support.app import running

PLAIN = "version: 1\nproviders: {m: {type: mock}}\n"
ONE = Fragment(3, routes=[Piece("r", "fast", {"match": {"model": "fast"}, "targets": []})])


def test_kept(tmp_path: Path) -> None:
    """What is kept is read again, by this user alone; nothing is kept at first."""
    shelf = Shelf(tmp_path)
    assert shelf.read() is None
    assert shelf.seen() is None
    shelf.keep(ONE)
    assert shelf.read() == ONE
    assert shelf.path.stat().st_mode & 0o777 == 0o600
    assert shelf.path.parent.stat().st_mode & 0o777 == 0o700
    before = shelf.seen()
    shelf.keep(ONE)
    assert shelf.seen() != before


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b'{"revision": "x"}', b'{"format": 2}'])
def test_damaged(tmp_path: Path, damage: bytes) -> None:
    """What is damaged is told, and never half read."""
    shelf = Shelf(tmp_path)
    shelf.keep(ONE)
    shelf.path.write_bytes(damage)
    with pytest.raises(BadFragment):
        shelf.read()


def test_no_file(tmp_path: Path) -> None:
    """A directory in its place is told, too."""
    shelf = Shelf(tmp_path)
    shelf.path.mkdir(parents=True)
    with pytest.raises(BadFragment):
        shelf.read()


def test_a_full_disk(tmp_path: Path) -> None:
    """When there is no room, what was kept stays, and nothing of the rest."""
    shelf = Shelf(tmp_path)
    shelf.keep(ONE)
    fresh = shelf.path.with_name(f".{shelf.path.name}.{os.getpid()}")
    fresh.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        shelf.keep(Fragment(4))
    assert shelf.read() == ONE
    assert [path.name for path in shelf.path.parent.iterdir()] == [shelf.path.name]
    shelf.keep(Fragment(4))
    assert shelf.read() == Fragment(4)


@pytest.mark.parametrize("administered", [True, False])
def test_complaints(administered: bool) -> None:
    """What the administrator complains of is in `/readyz`; where there is none, what an earlier one left is not."""
    with running(PLAIN, admin_api=administered) as gateway:
        shelf = Shelf(gateway.config.parent)
        assert gateway.get("/readyz").json["reasons"] == []
        shelf.complain("DatabaseUnavailable: " + "x" * 1000)
        reply = gateway.get("/readyz")
        assert (reply.status, len(reply.json["reasons"])) == (200, int(administered))
        assert all("DatabaseUnavailable" in reason and len(reason) < 700 for reason in reply.json["reasons"])
        shelf.complain(None)
        assert gateway.get("/readyz").json["reasons"] == []
