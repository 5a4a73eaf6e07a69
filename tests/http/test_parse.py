"""The few fields that are read of a request's body."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.parse import Fields, decode_embedding_fields, decode_fields
from gateway.types import Service

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["user_id", "a", "metadata"]), inner, max_size=3),
    ),
    max_leaves=12,
)


def fields_of(**members: Any) -> Fields:
    """What is read of a body with these members."""
    return decode_fields(msgspec.json.encode(members))


@pytest.mark.parametrize(
    ("members", "user"),
    [
        ({}, None),
        ({"user": "u"}, "u"),
        ({"safety_identifier": "s", "user": "u", "metadata": {"user_id": "m"}}, "s"),
        ({"user": "u", "metadata": {"user_id": "m"}}, "u"),
        ({"metadata": {"user_id": "m", "other": {"user_id": "x"}}}, "m"),
        ({"safety_identifier": None, "user": "", "metadata": {"user_id": "m"}}, "m"),
        ({"metadata": {"user_id": "h\u00e9 \U0001f642"}}, "h\u00e9 \U0001f642"),
        ({"metadata": {"user_id": ""}}, None),
        ({"prompt_cache_key": "p"}, None),
    ],
)
def test_the_end_user_is_named_in_one_of_three_places(members: dict[str, Any], user: str | None) -> None:
    """`safety_identifier` goes first, then `user`, then `metadata.user_id`; an empty one counts as none."""
    assert fields_of(**members).end_user == user


@pytest.mark.parametrize(
    "metadata", [None, [], "user_id", 5, True, {}, {"user_id": 5}, {"user_id": None}, {"user_id": {}}]
)
def test_metadata_of_another_shape_is_the_providers_business(metadata: Any) -> None:
    """It is neither an error nor a user."""
    assert fields_of(metadata=metadata).end_user is None


@given(JSON)
def test_any_metadata_is_read_without_an_error(metadata: Any) -> None:
    """Whatever JSON stands there, the user is its `user_id` if that is text."""
    given = metadata.get("user_id") if isinstance(metadata, dict) else None
    assert fields_of(metadata=metadata).end_user == (given if isinstance(given, str) and given else None)


def test_embeddings_have_users_too() -> None:
    """The fields of an embeddings call hold those of every call."""
    raw = b'{"model":"m","input":["a"],"metadata":{"user_id":"m"}}'
    assert decode_embedding_fields(raw).end_user == "m"


@pytest.mark.parametrize(
    ("service", "members", "cap"),
    [
        (Service.CHAT, {}, None),
        (Service.CHAT, {"max_tokens": 5}, 5),
        (Service.CHAT, {"max_completion_tokens": 7}, 7),
        (Service.CHAT, {"max_tokens": 9, "max_completion_tokens": 7}, 9),
        (Service.CHAT, {"max_output_tokens": 1}, None),
        (Service.COMPLETIONS, {"max_tokens": 5}, 5),
        (Service.COMPLETIONS, {"max_completion_tokens": 1}, None),
        (Service.RESPONSES, {"max_output_tokens": 6}, 6),
        (Service.RESPONSES, {"max_tokens": 1, "max_completion_tokens": 1}, None),
    ],
)
def test_only_the_field_that_a_service_goes_by_caps_its_output(
    service: Service, members: dict[str, int], cap: int | None
) -> None:
    """A cap that the provider would not look at must not make a reservation small."""
    assert fields_of(**members).cap(service) == cap
