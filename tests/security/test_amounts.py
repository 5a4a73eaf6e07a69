"""Numbers that would credit their sender."""

from __future__ import annotations

import pytest

from tests.security.carriers import carried
from tests.support.app import unique
from tests.support.rig import COMPLETION, keys_config, rigged, secret
from tests.support.steps import json_reply

# ---- CVE-2026-71479, CVE-2026-64865: numbers that credit their sender

NUMBERS = (-1, -(2**63), 2**63, 2**64, -0.5, 1e308, "9223372036854775808", True)


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "n"])
def test_no_number_of_a_client_is_credit(field: str) -> None:
    """Negative, enormous and odd amounts are refused, and leave the limits as they were."""
    text = secret()
    with rigged(keys_config(f"name: {unique('k')}, secret: {text}, limits: {{tokens: 1000000/day}}")) as rig:
        header = [carried("bearer", text)]
        for number in NUMBERS:
            reply = rig.gateway.chat("m", header, **{field: number})
            assert (reply.status, reply.error["param"]) == (400, field), number
        assert not rig.a.received
        left = int(rig.gateway.chat("m", header).header("x-ratelimit-remaining-tokens") or 0)
        assert 0 < left < 1_000_000


@pytest.mark.parametrize("number", [-1, -(2**63), 2**63, 10**30, -1e300, 1e300])
def test_no_number_of_a_provider_is_credit(number: float) -> None:
    """Usage below nothing or beyond reason is not believed: what was used is estimated. Neither is a fault of ours, nor
    may a mistake of the provider's use up a limit."""
    text = secret()
    limit = "limits: {tokens: 1000000/day}"
    with rigged(keys_config(f"name: {unique('k')}, secret: {text}, {limit}")) as rig:
        header = [carried("bearer", text)]
        used = {"prompt_tokens": number, "completion_tokens": number, "total_tokens": number}
        rig.a.then(json_reply({**COMPLETION, "usage": used}))
        assert rig.gateway.chat("m", header, max_tokens=10).status == 200
        second = rig.gateway.chat("m", header, max_tokens=10)
        left = int(second.header("x-ratelimit-remaining-tokens") or 0)
        assert 900_000 < left < 1_000_000
        assert second.status == 200
