"""From a credential to a Principal, and what a key may name."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.keys import ANONYMOUS, authorise, credential_of, holder, may_use, missing_credential
from gateway.errors import InvalidApiKey, KeyExpired, ModelAccessDenied
from gateway.registry.snapshot import Snapshot, VirtualKey
from gateway.types import Principal, Service

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
    assert holder(snapshot(), SECRET) is KEY


@given(st.binary(max_size=80) | st.integers(0, len(SECRET)).map(lambda at: SECRET[:at]) | st.just(SECRET + b"\0"))
def test_nothing_else_is_a_key(credential: bytes) -> None:
    """Prefixes, extensions and anything else are 401; the credential is not repeated."""
    if credential == SECRET:
        return
    with pytest.raises(InvalidApiKey) as refused:
        holder(snapshot(), credential)
    # The text is the same for everybody, so it can repeat nothing.
    assert refused.value.public_message == InvalidApiKey.message


def test_the_digest_of_a_key_is_no_key() -> None:
    """Who steals the stored hash cannot log in with it (pass the hash)."""
    digest = hashlib.sha256(SECRET)
    for stolen in (digest.digest(), digest.hexdigest().encode(), b"sha256:" + digest.hexdigest().encode()):
        with pytest.raises(InvalidApiKey):
            holder(snapshot(), stolen)


def test_an_inactive_key_keeps_the_gateway_closed() -> None:
    """A key whose variable is unset serves nobody, and does not open the door to everybody."""
    found = snapshot(active=False)
    assert not found.open_mode
    for credential in (b"", SECRET):
        with pytest.raises(InvalidApiKey):
            holder(found, credential)


def test_without_keys_the_snapshot_is_open() -> None:
    """Every caller is then the same anonymous one, who is bound by nothing."""
    assert Snapshot("rev").open_mode
    authorise(ANONYMOUS, "anything", "chat")
    assert (ANONYMOUS.limits, ANONYMOUS.quotas, ANONYMOUS.digest) == ((), (), b"")


@pytest.mark.parametrize(("seconds", "expired"), [(-1.0, True), (0.0, True), (60.0, False), (None, False)])
def test_a_key_of_the_file_can_expire(monkeypatch: pytest.MonkeyPatch, seconds: float | None, expired: bool) -> None:
    """From the second on that the file names it opens nothing; the refusal says why."""
    now = 1_790_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    principal = Principal("ci", expires_at=None if seconds is None else now + seconds)
    found = Snapshot("rev", keys={hashlib.sha256(SECRET).digest(): principal})
    if not expired:
        assert holder(found, SECRET) is principal
        return
    with pytest.raises(KeyExpired) as refused:
        holder(found, SECRET)
    assert (refused.value.public_status, refused.value.public_code) == (401, "invalid_api_key")
    assert refused.value.reason == "key_expired"


def test_no_key_at_all_is_told_where_to_put_one() -> None:
    """A request without any credential is 401, with another text than a wrong one."""
    error = missing_credential()
    assert (error.public_status, error.public_code) == (401, "invalid_api_key")
    assert "Authorization: Bearer" in error.public_message
    assert error.public_message != InvalidApiKey().public_message


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
        authorise(KEY, model, "chat")
    else:
        with pytest.raises(ModelAccessDenied):
            authorise(KEY, model, "chat")


def test_without_a_list_every_model_is_allowed_and_with_an_empty_one_none() -> None:
    """None and () are different."""
    assert may_use(Principal("k"), "anything")
    assert not may_use(Principal("k", models=()), "anything")


def test_a_key_can_be_for_some_services_only() -> None:
    """The services it lists and no others; without a list all of them."""
    some = Principal("k", services=frozenset({"chat", "embeddings"}))
    for service in Service:
        authorise(Principal("k"), "m", service)
        if service in ("chat", "embeddings"):
            authorise(some, "m", service)
        else:
            with pytest.raises(ModelAccessDenied, match=f"may not be used for {service}"):
                authorise(some, "m", service)
    with pytest.raises(ModelAccessDenied):
        authorise(Principal("k", services=frozenset()), "m", Service.CHAT)
