"""Secrets stand in no entry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.masking import MASK, is_secret, masked

CANARY = "canary-81cc-secret"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "secret",
            "client_secret",
            "clientSecret",
            "password",
            "Password",
            "api_key",
            "apiKey",
            "X-Api-Key",
            "api-key",
        ),
        *(
            "token",
            "access_token",
            "refreshToken",
            "authorization",
            "Authorization",
            "cookie",
            "private_key",
            "admin_key",
        ),
        *("access_key", "secret_access_key", "encryption_key", "secret_hash", "digest", "passphrase", "session_token"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    """Whatever stands under such a name is masked, at any depth, in lists and mappings too."""
    for value in (CANARY, [CANARY], {"inner": [CANARY]}):
        assert CANARY not in str(masked({"a": [{name: value}]}))


@pytest.mark.parametrize(
    "name",
    [
        "name",
        "tokens",
        "max_tokens",
        "key",
        "keys",
        "credential_id",
        "token_url",
        "secret_name",
        "price",
        "api_key_id",
        "",
    ],
)
def test_names_of_none(name: str) -> None:
    """What only speaks of secrets is shown."""
    assert masked({name: "100k/min"}) == {name: "100k/min"}


def test_amounts_and_switches_are_shown() -> None:
    """Numbers and switches are no secrets, whatever they are called; nothing stays nothing."""
    value = {"token": None, "secret": True, "password": 3, "limits": {"tokens": "5M"}}
    assert masked(value) == value


@pytest.mark.parametrize("name", ["headers", "Headers", "extra-headers", "header_templates"])
def test_headers_are_masked_whole(name: str) -> None:
    """A header of any name may carry a credential: which there are is shown, not what they say."""
    assert masked({name: {"x-anything": CANARY, "n": 1}}) == {name: {"x-anything": MASK, "n": 1}}


@pytest.mark.parametrize(
    "text",
    [
        "gw-" + "a" * 43,
        "gwt-" + "a" * 43,
        "gwa-" + "a" * 43,
        "sk-proj-" + "a" * 40,
        "AKIAIOSFODNN7EXAMPLE",
        "AIza" + "b" * 35,
        "gwv1.0123456789abcdef." + "c" * 40,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
    ],
)
def test_texts_that_look_like_secrets(text: str) -> None:
    """Wherever they stand, and whatever stands around them."""
    assert text not in str(masked({"note": f"see {text} there", "list": [text]}))
    assert masked({"note": f"see {text} there"}) == {"note": f"see {MASK} there"}


def test_passwords_in_addresses() -> None:
    """A URL keeps its host and loses its credential."""
    assert masked({"base_url": "https://ada:pw@h/v1"}) == {"base_url": f"https://{MASK}@h/v1"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_masking_twice_is_masking_once(value: Any) -> None:
    """And what goes in is left as it is."""
    before = repr(value)
    assert masked(masked(value)) == masked(value)
    assert repr(value) == before


def test_depth_is_bounded() -> None:
    """What is nested beyond reason is masked whole."""
    deep: Any = CANARY
    for _ in range(60):
        deep = [deep]
    assert CANARY not in str(masked(deep))
    assert masked(b"bytes") == MASK
    assert not is_secret("")
