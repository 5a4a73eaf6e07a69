import json

import pytest

from bench import payloads


def test_sizes_are_those_of_the_workloads() -> None:
    """The bodies have exactly the sizes that the workloads are named after."""
    assert len(payloads.request()) == len(payloads.request(stream=True)) == 700
    assert len(payloads.request(size=200_000)) == 200_000
    assert len(payloads.reply()) == 861
    assert len(payloads.stream()) == 18_800
    assert len(payloads.stream_events()) == 62


def test_upstreams_own_replies_are_right() -> None:
    """What the upstream sends has nothing wrong with it."""
    assert payloads.complaint(payloads.reply(), stream_reply=False) is None
    assert payloads.complaint(payloads.stream(), stream_reply=True) is None


def test_a_reserialised_reply_is_right_too() -> None:
    """A system may write the same answer with other blanks, ids and extra fields."""
    changed = json.dumps({**json.loads(payloads.reply()), "id": "other", "extra": 1}, indent=2).encode()
    assert payloads.complaint(changed, stream_reply=False) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"error":{"message":"no"}}',
        payloads.reply().replace(b"quick", b"slow"),
        payloads.reply().replace(b'"total_tokens":208', b'"total_tokens":1'),
    ],
)
def test_a_wrong_reply_is_noticed(body: bytes) -> None:
    """Other content, other usage, an error or nothing at all is a complaint."""
    assert payloads.complaint(body, stream_reply=False)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"".join(payloads.stream_events()), "DONE"),
        (b"".join(payloads.stream_events()[:-1]) + payloads.DONE, "61 events"),
        (payloads.stream().replace(b"quick", b"slow"), "content"),
        (payloads.stream()[:5000], "not what"),
        (b'{"error":{}}', "content"),
    ],
)
def test_a_wrong_stream_is_noticed(body: bytes, reason: str) -> None:
    """A lost event, a lost end, other words, a cut stream or no stream is a complaint that says which."""
    assert reason in (payloads.complaint(body, stream_reply=True) or "")
