"""Where a provider is, as its connections see it."""

from __future__ import annotations

import pytest

from gateway.ports import UNBOUNDED
from gateway.providers.wire.head import endpoint_at
from gateway.types import Provider

URL = "https://llm.example.com/v1"


@pytest.mark.parametrize("limit", [None, 8])
def test_connections_are_bounded_where_calls_are(limit: int | None) -> None:
    """Without a limit of its own nothing bounds them but the calls under way, and who goes to the same place shares
    them. With one they are bounded as the calls are, and the limits of two are two."""
    one, two = (endpoint_at(URL, Provider(name, "openai", URL, concurrency_limit=limit))[0] for name in ("a", "b"))
    assert one.max_connections == (UNBOUNDED if limit is None else limit)
    assert (one == two) == (limit is None)
