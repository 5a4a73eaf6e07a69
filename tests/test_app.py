"""What the process that forks the workers keeps of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.app import LastGood
from gateway.registry import load
from tests.registry.test_reload import text_for, write_unseen

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_of_the_same_size_and_time_is_looked_at(tmp_path: Path) -> None:
    """A file that was written in place is read again whatever its time of writing says."""
    path = tmp_path / "gateway.yaml"
    path.write_text(text_for("one"))
    last_good = LastGood(path, lambda: load(path, {}))
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:  # a file system's clock is coarse: write until it has ticked
        write_unseen(path, text_for("two"))
    last_good.refresh()
    assert list(last_good.loaded.snapshot.models) == ["two"]
