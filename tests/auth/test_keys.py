"""From a credential to a Principal, and what a key may name."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keys import ANONYMOUS, authenticate, authorise, credential_of, may_use
from gateway.errors import InvalidApiKey, ModelAccessDenied
from gateway.registry.snapshot import Snapshot, VirtualKey
from gateway.types import Principal

SECRET = b"gw-0123456789abcdef0123456789abcdef"
KEY = Principal("ci", models=("gpt-4o*", "fast", "a/[mn]"))


def snapshot(*, active: bool = True) -> Snapshot:
    """One key."""
    digest = hashlib.sha256(SECRET).digest()
    return Snapshot(
        "rev",
        keys={digest: KEY} if active else {},
        virtual_keys={"ci": VirtualKey("ci", digest if active else b"", KEY, active=active)},
    )


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({b"authorization": b"Bearer abc"}, b"abc"),
        ({b"authorization": b"bearer  abc "}, b"abc"),
        ({b"authorization": b"BEARER abc"}, b"abc"),
        ({b"x-api-key": b"abc"}, b"abc"),
        ({b"api-key": b"abc"}, b"abc"),
        ({b"authorization": b"Bearer one", b"x-api-key": b"two", b"api-key": b"three"}, b"one"),
        ({b"authorization": b"Basic xyz", b"x-api-key": b"two"}, b"two"),
        ({b"authorization": b"Bearer", b"api-key": b"three"}, b"three"),
        ({b"authorization": b"Bearer  "}, None),
        ({b"authorization": b"abc"}, None),
        ({b"authorization": b""}, None),
        ({b"x-api-key": b""}, None),
        ({}, None),
    ],
)
def test_where_a_credential_stands(headers: dict[bytes, bytes], wanted: bytes | None) -> None:
    """`Authorization: Bearer` first, then `x-api-key`, then `api-key`; empty ones count as none."""
    assert credential_of(headers) == wanted


def test_a_known_key_is_its_principal() -> None:
    """The whole secret and nothing else opens."""
    assert authenticate(snapshot(), SECRET, open_mode=False) is KEY


@given(st.binary(max_size=80) | st.integers(0, len(SECRET)).map(lambda at: SECRET[:at]) | st.just(SECRET + b"\0"))
def test_nothing_else_is_a_key(credential: bytes) -> None:
    """Prefixes, extensions and anything else are 401; the credential is not repeated."""
    if credential == SECRET:
        return
    with pytest.raises(InvalidApiKey) as refused:
        authenticate(snapshot(), credential, open_mode=False)
    # The text is the same for everybody, so it can repeat nothing.
    assert refused.value.public_message == InvalidApiKey.message


def test_the_digest_of_a_key_is_no_key() -> None:
    """Who steals the stored hash cannot log in with it (pass the hash)."""
    digest = hashlib.sha256(SECRET)
    for stolen in (digest.digest(), digest.hexdigest().encode(), b"sha256:" + digest.hexdigest().encode()):
        with pytest.raises(InvalidApiKey):
            authenticate(snapshot(), stolen, open_mode=False)


def test_an_inactive_key_keeps_the_gateway_closed() -> None:
    """A key whose variable is unset serves nobody, and does not open the door to everybody."""
    found = snapshot(active=False)
    assert not found.open_mode
    for credential in (None, b"", SECRET):
        with pytest.raises(InvalidApiKey):
            authenticate(found, credential, open_mode=found.open_mode)


def test_open_mode_takes_anybody() -> None:
    """Without keys every caller is the same anonymous one."""
    assert Snapshot("rev").open_mode
    assert authenticate(Snapshot("rev"), None, open_mode=True) is ANONYMOUS
    assert authenticate(Snapshot("rev"), b"any", open_mode=True) is ANONYMOUS


@pytest.mark.parametrize(
    ("model", "allowed"),
    [
        ("gpt-4o", True),
        ("gpt-4o-mini", True),
        ("fast", True),
        ("a/m", True),
        ("a/x", False),
        ("faster", False),
        ("FAST", False),
        ("GPT-4o", False),
        ("x/gpt-4o", False),
        ("gpt-4", False),
        ("", False),
        ("gpt-4o*", True),
    ],
)
def test_a_list_of_models_is_a_list_of_globs(model: str, allowed: bool) -> None:
    """Case-sensitive, over the whole name as the client writes it."""
    assert may_use(KEY, model) is allowed
    if allowed:
        authorise(KEY, model)
    else:
        with pytest.raises(ModelAccessDenied):
            authorise(KEY, model)


def test_without_a_list_every_model_is_allowed_and_with_an_empty_one_none() -> None:
    """None and () are different."""
    assert may_use(Principal("k"), "anything")
    assert not may_use(Principal("k", models=()), "anything")
