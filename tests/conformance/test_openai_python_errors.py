"""openai-python against the gateway: what an application catches, what the SDK retries, and how streams break."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest

from .conftest import EMBED_KEY, GPT_KEY, KEY, MAX_BODY, PAIR_KEYS, TIGHT_KEY, TINY_KEY, UNKNOWN_KEY, Lab, Sdk, fault

USER: Any = [{"role": "user", "content": "one two three four five six seven eight nine ten"}]


def chat(model: str, **options: Any) -> Any:
    return lambda c: c.chat.completions.create(model=model, messages=USER, **options)


def of_key(lab: Lab, key: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=lab.gateway.api, api_key=key, **{"max_retries": 0, "timeout": 10, **options})


# ---- classes


@pytest.mark.parametrize(
    ("model", "error", "status", "code"),
    [
        ("lab/mock-fault/status-400", openai.BadRequestError, 400, None),
        ("lab/mock-fault/context-length", openai.BadRequestError, 400, "context_length_exceeded"),
        ("lab/mock-fault/status-404", openai.NotFoundError, 404, "model_not_found"),
        ("lab/mock-fault/status-409", openai.ConflictError, 409, "upstream_conflict"),
        ("lab/mock-fault/status-413", openai.APIStatusError, 413, None),
        ("lab/mock-fault/status-422", openai.UnprocessableEntityError, 422, None),
        ("lab/mock-fault/status-429", openai.RateLimitError, 429, "upstream_rate_limited"),
        ("lab/mock-fault/status-401", openai.InternalServerError, 502, "provider_auth"),
        ("lab/mock-fault/status-403", openai.InternalServerError, 502, "provider_auth"),
        ("lab/mock-fault/insufficient-quota", openai.InternalServerError, 502, "provider_auth"),
        ("lab/mock-fault/status-500", openai.InternalServerError, 502, "upstream_error"),
        ("lab/mock-fault/status-503", openai.InternalServerError, 503, "upstream_overloaded"),
        ("lab/mock-fault/status-302", openai.InternalServerError, 502, "bad_upstream_response"),
        ("lab/mock-fault/html-200", openai.InternalServerError, 502, "bad_upstream_response"),
        ("lab/mock-fault/empty-200", openai.InternalServerError, 502, "bad_upstream_response"),
        ("lab/mock-fault/null-200", openai.InternalServerError, 502, "bad_upstream_response"),
        ("lab/mock-fault/drop", openai.InternalServerError, 502, "upstream_disconnected"),
        ("lab/mock-fault/error-in-200", openai.InternalServerError, 502, "upstream_error"),
        ("impatient/mock-fault/hang", openai.InternalServerError, 504, "upstream_timeout"),
        ("nowhere/any", openai.InternalServerError, 502, "upstream_unreachable"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_a_provider_does_to_a_call(
    sdk: Sdk, model: str, error: type[openai.APIStatusError], status: int, code: str | None, stream: bool
) -> None:
    """Every failure before the first byte is an exception of the right class with all four fields, streamed or not."""
    with pytest.raises(error) as raised:
        (sdk.events if stream else sdk.call)(chat(model, stream=stream))
    failure = raised.value
    assert (failure.status_code, failure.code) == (status, code)
    assert isinstance(failure.body, dict)
    assert set(failure.body) == {"message", "type", "param", "code"}
    assert failure.request_id == failure.response.headers["x-request-id"]
    assert "127.0.0.1" not in failure.response.text


@pytest.mark.parametrize("key", [UNKNOWN_KEY, "sk-short", "none"])
def test_wrong_keys(lab: Lab, key: str) -> None:
    """A key that nobody has is AuthenticationError; it is not shown again."""
    with of_key(lab, key) as client, pytest.raises(openai.AuthenticationError) as raised:
        chat("gpt-4o")(client)
    assert raised.value.code == "invalid_api_key"
    assert key not in raised.value.message


def test_no_access_to_a_model(lab: Lab) -> None:
    """A model outside the key's list is PermissionDeniedError; one inside it works."""
    with of_key(lab, GPT_KEY) as client:
        assert chat("gpt-4o-mini")(client).choices
        for model in ("rescued", "text-embedding-3-small", "lab/other"):
            with pytest.raises(openai.PermissionDeniedError) as raised:
                chat(model)(client)
            assert raised.value.code == "model_access_denied"


def test_two_keys_with_lists_of_their_own(lab: Lab) -> None:
    """What one key may use the other may not."""
    with of_key(lab, GPT_KEY) as gpt, of_key(lab, EMBED_KEY) as embed:
        assert embed.embeddings.create(model="text-embedding-3-small", input="x").data
        with pytest.raises(openai.PermissionDeniedError):
            gpt.embeddings.create(model="text-embedding-3-small", input="x")
        with pytest.raises(openai.PermissionDeniedError):
            chat("gpt-4o")(embed)


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "X-API-Key"])
def test_other_headers_for_keys(lab: Lab, header: str) -> None:
    """Keys are taken from `x-api-key` and `api-key` when no bearer token is given, and are checked there too."""
    with of_key(lab, "unused") as client:
        sent: Any = {"Authorization": openai.Omit(), header: GPT_KEY}
        assert chat("gpt-4o", extra_headers=sent)(client).choices
        with pytest.raises(openai.AuthenticationError):
            chat("gpt-4o", extra_headers={**sent, header: UNKNOWN_KEY})(client)


def test_fields_of_the_wrong_type(sdk: Sdk) -> None:
    """A field that cannot be meant so is BadRequestError that names it."""
    for field, value in (("stream", "yes"), ("max_tokens", "many"), ("n", -1), ("stream_options", 3)):
        with pytest.raises(openai.BadRequestError) as raised:
            sdk.call(chat("gpt-4o", extra_body={field: value}))
        assert raised.value.param == field
        assert raised.value.type == "invalid_request_error"


def test_too_large_a_body(sdk: Sdk) -> None:
    """More than the gateway takes is a 413, and the next call on the same client works."""
    with pytest.raises(openai.APIStatusError) as raised:
        sdk.call(
            lambda c: c.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "x" * (MAX_BODY + 1)}]
            )
        )
    assert (raised.value.status_code, raised.value.code) == (413, "request_too_large")
    assert sdk.call(chat("gpt-4o")).choices


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.files.list(),
        lambda c: c.batches.list(),
        lambda c: c.fine_tuning.jobs.list(),
        lambda c: c.responses.retrieve("resp_1"),
        lambda c: c.post("/nothing/here", cast_to=object, body={}),
    ],
    ids=["files", "batches", "fine_tuning", "responses.retrieve", "post"],
)
def test_paths_that_are_not_served(client: openai.OpenAI, ask: Any) -> None:
    """Endpoints we do not have are NotFoundError in OpenAI's shape, not HTML."""
    with pytest.raises(openai.NotFoundError) as raised:
        ask(client)
    assert raised.value.code == "unknown_url"


# ---- limits


def test_rate_limit_headers_and_refusal(lab: Lab) -> None:
    """Three calls count down `x-ratelimit-*`, the fourth is RateLimitError with a wait that is no lie."""
    with of_key(lab, TIGHT_KEY) as client:
        left = []
        for _ in range(3):
            headers = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=USER).headers
            assert headers["x-ratelimit-limit-requests"] == "3"
            assert headers["x-ratelimit-limit-tokens"] == "100000"
            assert int(headers["x-ratelimit-remaining-tokens"]) < 100_000
            assert headers["x-ratelimit-reset-requests"][-1] == "s"
            left.append(int(headers["x-ratelimit-remaining-requests"]))
        assert left == [2, 1, 0]
        with pytest.raises(openai.RateLimitError) as raised:
            chat("gpt-4o")(client)
    refused = raised.value
    assert (refused.code, refused.type) == ("rate_limit_exceeded", "rate_limit_error")
    headers = refused.response.headers
    assert headers["x-should-retry"] == "true"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert 0 < int(headers["retry-after-ms"]) <= 20_000
    assert int(headers["retry-after"]) * 1000 >= int(headers["retry-after-ms"])


def test_keys_do_not_share_limits(lab: Lab) -> None:
    """Two keys with the same limit have a bucket each."""
    with of_key(lab, PAIR_KEYS[0]) as first, of_key(lab, PAIR_KEYS[1]) as second:
        assert chat("gpt-4o")(first).choices
        assert chat("gpt-4o")(second).choices
        for client in (first, second):
            with pytest.raises(openai.RateLimitError):
                chat("gpt-4o")(client)


def test_a_request_larger_than_the_bucket(lab: Lab) -> None:
    """What can never be admitted is BadRequestError: the SDK must not wait for it."""
    with of_key(lab, TINY_KEY, max_retries=3) as client, pytest.raises(openai.BadRequestError) as raised:
        chat("gpt-4o", max_tokens=1000)(client)
    assert raised.value.code == "request_exceeds_limit"


# ---- retries


@pytest.mark.parametrize(
    ("script", "requests"),
    [
        ("status-400", 1),
        ("status-422", 1),
        ("status-500", 1),
        ("status-401", 1),
        ("insufficient-quota", 1),
        ("status-503+retry-after-0.01", 3),
        ("status-429+retry-after-0.01", 3),
    ],
)
def test_the_sdk_retries_what_we_say(lab: Lab, script: str, requests: int) -> None:
    """With two retries allowed, the SDK sends again only where `x-should-retry` says so, and after `retry-after-ms`."""
    model = fault(script)
    begun = time.monotonic()
    with of_key(lab, KEY, max_retries=2) as client, pytest.raises(openai.APIStatusError):
        chat(model)(client)
    assert lab.calls(model) == requests
    lines = lab.gateway.logged(requests, requested_model=model)
    assert len(lines) == requests
    # Without the header the SDK waits half a second and then one: a bound that only its own backoff breaks.
    assert requests == 1 or time.monotonic() - begun < 5


def test_retry_after_is_kept_to(lab: Lab) -> None:
    """The SDK waits as long as the provider asked the gateway to."""
    model = fault("status-429+retry-after-0.3")
    begun = time.monotonic()
    with of_key(lab, KEY, max_retries=1) as client, pytest.raises(openai.RateLimitError) as raised:
        chat(model)(client)
    assert time.monotonic() - begun >= 0.3
    assert raised.value.response.headers["retry-after-ms"] == "300"
    assert lab.calls(model) == 2


def test_our_own_retries_are_spent_first(lab: Lab) -> None:
    """The gateway tries three times itself and then tells the SDK not to: nobody multiplies attempts."""
    model = fault("status-500", "retrying")
    with of_key(lab, KEY, max_retries=2) as client, pytest.raises(openai.InternalServerError) as raised:
        chat(model)(client)
    assert raised.value.response.headers["x-gateway-attempts"] == "3"
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert lab.calls(model) == 3


def test_a_fallback_is_invisible(sdk: Sdk) -> None:
    """A route whose first target is down answers from its second; the headers say so, the body does not."""
    raw = sdk.call(lambda c: c.chat.completions.with_raw_response.create(model="rescued", messages=USER))
    assert (raw.headers["x-gateway-attempts"], raw.headers["x-gateway-provider"]) == ("2", "named")
    assert raw.parse().model == "rescued"


# ---- headers and time


def test_request_ids(sdk: Sdk, lab: Lab) -> None:
    """Every answer has an id that the log knows; the caller's own is kept; whole, raw and streamed."""
    answer = sdk.call(chat("gpt-4o"))
    assert answer._request_id.startswith("req-")
    raw = sdk.call(
        lambda c: c.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=USER, extra_headers={"x-request-id": "mine-42"}
        )
    )
    assert raw.request_id == "mine-42"
    assert lab.gateway.logged(request_id=answer._request_id)[0]["status"] == 200
    assert lab.gateway.logged(request_id="mine-42")[0]["key"] == "all"


def test_headers_tell_how_but_not_where(client: openai.OpenAI, lab: Lab) -> None:
    """Provider, model, attempts, revision and overhead are told; never an address, a key or a cookie."""
    headers = client.chat.completions.with_raw_response.create(model="fast", messages=USER).headers
    assert (headers["x-gateway-provider"], headers["x-gateway-model"]) == ("named", "gpt-4o-mini")
    assert float(headers["x-gateway-overhead-ms"]) >= 0
    assert headers["x-gateway-revision"]
    text = str(dict(headers))
    assert "upstream-credential" not in text
    assert lab.mock.url.split("//")[1].split("/")[0] not in text
    assert "set-cookie" not in headers


def test_the_clients_own_timeout(sdk: Sdk, lab: Lab) -> None:
    """A client that gives up gets APITimeoutError; the gateway sees it leave and calls the provider off."""
    model = fault("hang")
    with pytest.raises(openai.APITimeoutError):
        sdk.call(chat(model, timeout=0.5))
    line = lab.gateway.logged(requested_model=model)[0]
    assert (line["status"], line["reason"]) == (499, "client_disconnected")
    assert [row["outcome"] for row in lab.mock.rows(model=model.partition("/")[2])] == ["cancelled"]


# ---- streams that break


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("cut-after-900", "upstream_disconnected"),
        ("reset-after-900", "upstream_disconnected"),
        ("end-after-3", "upstream_disconnected"),
        ("stall-after-3", "upstream_timeout"),
        ("malformed-after-3", "bad_upstream_response"),
        ("error-after-3", "upstream_error"),
    ],
)
def test_a_broken_stream_raises(sdk: Sdk, lab: Lab, script: str, code: str) -> None:
    """What came before is delivered, then APIError: a stream never just ends."""
    model = fault(f"{script}+tokens-50+pace-2ms")
    got: list[str] = []

    def collect(c: Any) -> Any:
        return _collect_async(c, model, got) if isinstance(c, openai.AsyncOpenAI) else _collect(c, model, got)

    with pytest.raises(openai.APIError) as raised:
        sdk.call(collect)
    assert not isinstance(raised.value, openai.APIStatusError | openai.APIConnectionError)
    assert raised.value.code == code
    assert len(got) >= 2
    line = lab.gateway.logged(requested_model=model)[0]
    assert (line["reason"], line["stream"]) == (code, True)


def _collect(client: openai.OpenAI, model: str, got: list[str]) -> None:
    got.extend(chunk.choices[0].delta.content or "" for chunk in chat(model, stream=True)(client))


async def _collect_async(client: openai.AsyncOpenAI, model: str, got: list[str]) -> None:
    stream = await chat(model, stream=True)(client)
    async for chunk in stream:  # not a comprehension: what came before a failure must be kept
        got.append(chunk.choices[0].delta.content or "")  # noqa: PERF401


@pytest.mark.parametrize(
    "script", ["cut-after-1500", "end-after-3", "stall-after-4", "malformed-after-3", "error-after-3"]
)
def test_broken_completions_and_responses_raise_too(sdk: Sdk, script: str) -> None:
    """The other streaming endpoints keep the same promise."""
    model = fault(f"{script}+tokens-50")
    with pytest.raises(openai.APIError):
        sdk.events(lambda c: c.completions.create(model=model, prompt="x", stream=True))
    with pytest.raises(openai.APIError):
        sdk.events(lambda c: c.responses.create(model=model, input="x", stream=True))


@pytest.mark.parametrize("script", ["cut-after-100", "reset-after-100", "malformed-after-0", "stall-after-100"])
def test_a_broken_whole_answer_raises(sdk: Sdk, script: str) -> None:
    """Half an answer is none, whatever its content-length said."""
    with pytest.raises(openai.InternalServerError):
        sdk.call(chat(fault(script)))
