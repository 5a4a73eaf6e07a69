"""Fill a database with virtual keys: their secrets come on standard input, one a line.

python -m bench.many_keys FILE TEAMS
"""

import asyncio
import hashlib
import sys
import time
from pathlib import Path

from sqlalchemy import insert, update

from gateway.storage.sql.database import Database
from gateway.storage.sql.key_tables import key_state, virtual_keys
from gateway.storage.sql.migrate import migrate

LIMITS = {"requests": "10M/min", "tokens": "100000M/min", "concurrency": 10000}


async def fill(url: str, secrets: list[str], teams: int) -> None:
    """One row for each secret, in one transaction."""
    now = int(time.time() * 1e6)
    rows = [
        {
            "id": f"bench-{number}",
            "name": f"bench-{number}",
            "digest": hashlib.sha256(secret.encode()).digest(),
            "prefix": secret[:8],
            "team": f"team-{number % teams}",
            "models": ["bench-model"],
            "limits": LIMITS,
            "quotas": [],
            "metadata": {},
            "created_at": now,
            "created_by": "bench",
            "revision": 1,
        }
        for number, secret in enumerate(secrets)
    ]
    database = Database(url)
    try:
        async with database.begin() as connection:
            await connection.execute(update(key_state).values(revision=1))
            await connection.execute(insert(virtual_keys), rows)
    finally:
        await database.close()


if __name__ == "__main__":
    path, count = Path(sys.argv[1]), int(sys.argv[2])
    address = f"sqlite+aiosqlite:///{path.absolute()}"
    migrate(address)
    asyncio.run(fill(address, sys.stdin.read().split(), count))
