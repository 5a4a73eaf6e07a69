"""Where unix sockets go: a path of theirs holds about a hundred bytes, a data directory's may be longer."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from gateway.errors import OperatorError

LONGEST = 100
"""Bytes; `sun_path` holds 108 on Linux and 104 elsewhere."""


def socket_path(home: Path, name: str) -> Path:
    """The socket `name` in `home`, or in a private short directory when that path is longer than a socket's may be.

    Raises OperatorError when that directory is not ours alone.
    """
    path = home / name
    if len(os.fsencode(path)) <= LONGEST:
        return path
    digest = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"gateway-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise OperatorError(
            f"{short} is not a private directory of this user. Remove it, or use a shorter GATEWAY_DATA_DIR."
        )
    return short / name
