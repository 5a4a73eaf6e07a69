"""Where a replica keeps the database's part of the configuration, so that workers need neither SQL nor Redis for it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from gateway.registry.resources.fragment import BadFragment, Fragment, decode, encode

DIRECTORY = "registry"
FILE = "resources.json"
COMPLAINT = "administrator.trouble"
LONGEST_COMPLAINT = 500
MOST_BYTES = 64 * 1024 * 1024

Seen = tuple[int, int, int] | None


class Shelf:
    """One file in the data directory, readable by this user alone. Its secrets are sealed."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / DIRECTORY / FILE
        self._complaint = data_dir / COMPLAINT
        """Not in the directory that is watched: it is no news of resources."""

    def make(self) -> None:
        """Have the directory, which is watched. Raises OSError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def complain(self, trouble: str | None) -> None:
        """Why what is kept may be behind the database, for the workers to pass on; None: nothing is wrong. Where it
        cannot be written, the log alone has it."""
        with suppress(OSError):
            if trouble is None:
                self._complaint.unlink(missing_ok=True)
            else:
                self._complaint.write_text(trouble[:LONGEST_COMPLAINT])

    def complaint(self) -> str | None:
        """What the administrator has to complain of, if anything."""
        try:
            return self._complaint.read_text(errors="replace")[:LONGEST_COMPLAINT] or None
        except OSError:
            return None

    def seen(self) -> Seen:
        """What tells one state of the file from another; None while there is none."""
        try:
            facts = self.path.stat()
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns, facts.st_size

    def read(self) -> Fragment | None:
        """What is kept; None while nothing is. Raises BadFragment for what is damaged or cannot be read."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadFragment(f"it cannot be read: {error.strerror}") from error
        if len(data) > MOST_BYTES:
            raise BadFragment("it is larger than anything that was ever kept here")
        return decode(data)

    def keep(self, fragment: Fragment) -> None:
        """In place of what is kept, whole and at once, also if the power fails. Raises OSError."""
        self.make()
        fresh = self.path.with_name(f".{FILE}.{os.getpid()}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(encode(fragment))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except OSError:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
