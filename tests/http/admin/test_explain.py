"""Explanations over the admin API."""

from __future__ import annotations

from tests.support.admin import AdminApi


async def test_where_a_call_would_go(sqlite_api: AdminApi) -> None:
    """The route, who would be tried, who is left out; as `gateway explain` says it."""
    told = (await sqlite_api.call("POST", "/routing/explain", {"model": "anything", "tokens": 12})).json()
    assert (told["route"], told["candidates"][0]["deployment"]) == ("everything", "mock/mock-small")
    assert told["request"]["context_tokens"] is not None
    body = {"body": {"model": "mock/mock-large", "messages": [{"role": "user", "content": "Hi"}], "stream": True}}
    told = (await sqlite_api.call("POST", "/routing/explain", body)).json()
    assert told["request"]["stream"] is True


async def test_as_the_holder_of_a_key(sqlite_api: AdminApi) -> None:
    """A key that may not use the model is refused as its call would be; keys of file and database alike."""
    await sqlite_api.call("POST", "/keys", {"name": "narrow", "models": ["other"]})
    for key, status in (("narrow", 403), ("filed", None)):
        told = (await sqlite_api.call("POST", "/routing/explain", {"model": "mock-small", "key": key})).json()
        assert (told["refusal"] or {}).get("status") == status, told


async def test_what_no_call_can_be(sqlite_api: AdminApi) -> None:
    """422 with the field."""
    for body, field in (
        ({}, "model"),
        ({"model": "x", "service": "dance"}, "service"),
        ({"model": "x", "key": "nobody"}, "key"),
        ({"body": {"messages": []}}, "body"),
    ):
        answer = await sqlite_api.call("POST", "/routing/explain", body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field), answer.text
