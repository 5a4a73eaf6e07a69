"""anthropic-python against the gateway, blocking and asyncio: applications do not notice who answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pydantic
import pytest

from .conftest import GPT_KEY, KEY, POOR_KEY, TIGHT_MESSAGES_KEY, UNKNOWN_KEY, Lab, fault

USER: list[Any] = [{"role": "user", "content": "Grüße 你好 🎈"}]
SAID = "echo: Grüße 你好 🎈"
CONVERSE = ("bedrock/any", "bedrock/us.amazon.nova-pro-v1:0", "guarded/anthropic.claude-sonnet-4-5")
"""By Amazon's Converse: a model that nothing is known of, one of Amazon's, and Claude that is not passed through."""
MODELS = ("gpt-4o", "gemini/any", *CONVERSE, "claude/any", "bedrock/anthropic.claude-sonnet-4-5")
"""One that is bridged, four that are bridged and translated, one that is passed through, one out of Amazon's frames."""
PROVIDERS = ("lab", "claude")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def tool(name: str) -> Any:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"name": name, "description": f"The {name}.", "input_schema": schema}


class Sdk:
    """Either client behind one way to call it."""

    def __init__(self, base_url: str, runner: asyncio.Runner | None, **options: Any) -> None:
        given = {"base_url": base_url, "api_key": KEY, "max_retries": 0, "timeout": 10, **options}
        self._runner = runner
        self.client: Any = anthropic.Anthropic(**given) if runner is None else anthropic.AsyncAnthropic(**given)

    def close(self) -> None:
        if self._runner is None:
            self.client.close()
        else:
            self._runner.run(self.client.close())

    def create(self, model: str, messages: list[Any] = USER, **fields: Any) -> Any:
        """A whole message."""
        asked = self.client.messages.create(model=model, messages=messages, **{"max_tokens": 200, **fields})
        return asked if self._runner is None else self._runner.run(_awaited(asked))

    def stream(self, model: str, messages: list[Any] = USER, **fields: Any) -> tuple[list[Any], Any]:
        """Every event, and what the SDK makes of them."""
        manager = self.client.messages.stream(model=model, messages=messages, **{"max_tokens": 200, **fields})
        if self._runner is not None:
            return self._runner.run(_listed(manager))
        with manager as stream:
            return list(stream), stream.get_final_message()

    def call(self, made: Any) -> Any:
        """The answer of any other call."""
        return made if self._runner is None else self._runner.run(_awaited(made))


async def _awaited(call: Any) -> Any:
    return await call


async def _listed(manager: Any) -> tuple[list[Any], Any]:
    async with manager as stream:
        return [event async for event in stream], await stream.get_final_message()


@pytest.fixture(params=["blocking", "asyncio"])
def sdk(request: pytest.FixtureRequest, lab: Lab, runner: asyncio.Runner) -> Iterator[Sdk]:
    sdk = Sdk(lab.gateway.base_url, runner if request.param == "asyncio" else None)
    yield sdk
    sdk.close()


@pytest.fixture(scope="module")
def blocking(lab: Lab) -> Iterator[Sdk]:
    sdk = Sdk(lab.gateway.base_url, None)
    yield sdk
    sdk.close()


@pytest.mark.parametrize("model", MODELS)
def test_create(sdk: Sdk, lab: Lab, model: str) -> None:
    """A message under the name the caller used, with its usage and a request id that the log knows."""
    message = sdk.create(model)
    assert (message.model, message.type, message.role) == (model, "message", "assistant")
    assert [(block.type, block.text) for block in message.content] == [("text", SAID)]
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens == 4
    assert lab.gateway.logged(request_id=message._request_id)[0]["status"] == 200


@pytest.mark.parametrize("model", MODELS)
def test_stream(sdk: Sdk, model: str) -> None:
    """Events in their order; the SDK's accumulator ends with the text and the usage."""
    events, final = sdk.stream(model)
    kinds = [event.type for event in events if event.type != "text"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert "".join(event.text for event in events if event.type == "text") == SAID
    assert [block.text for block in final.content] == [SAID]
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 4)


@pytest.mark.parametrize("model", MODELS)
def test_tools(sdk: Sdk, model: str) -> None:
    """Parallel calls, whole and streamed; what the SDK was given goes back as it is, and the results are answered."""
    asked: list[Any] = [{"role": "user", "content": "call:weather call:time"}]
    tools = [tool("weather"), tool("time")]
    whole = sdk.create(model, asked, tools=tools)
    _, streamed = sdk.stream(model, asked, tools=tools)
    for message in (whole, streamed):
        uses = [block for block in message.content if block.type == "tool_use"]
        assert message.stop_reason == "tool_use"
        assert [(use.name, set(use.input)) for use in uses] == [("weather", {"city"}), ("time", {"city"})]
        results = [{"type": "tool_result", "tool_use_id": use.id, "content": f"{use.name} done"} for use in uses]
        talk = [*asked, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
        answer = sdk.create(model, talk, tools=tools).content[0].text
        assert answer.startswith("tool: ")
        assert answer.endswith("time done")


@pytest.mark.parametrize("model", MODELS)
def test_forced_tool(blocking: Sdk, model: str) -> None:
    """A tool that is named is called."""
    choice = {"type": "tool", "name": "time"}
    message = blocking.create(model, tools=[tool("weather"), tool("time")], tool_choice=choice)
    assert [block.name for block in message.content if block.type == "tool_use"] == ["time"]


class Place(pydantic.BaseModel):
    city: str
    inhabitants: int


@pytest.mark.parametrize("model", [model for model in MODELS if "nova" not in model])
def test_structured_output(blocking: Sdk, model: str) -> None:
    """`messages.parse` gives an object of the caller's class."""
    message = blocking.client.messages.parse(model=model, max_tokens=200, messages=USER, output_format=Place)
    assert isinstance(message.parsed_output, Place)


def test_structured_output_that_a_model_cannot_have(blocking: Sdk) -> None:
    """Amazon's models are held to no schema at Bedrock: that is said, and not left out in silence."""
    with pytest.raises(anthropic.BadRequestError, match="Use `json_object`, or another model"):
        blocking.client.messages.parse(
            model="bedrock/us.amazon.nova-pro-v1:0", max_tokens=200, messages=USER, output_format=Place
        )


@pytest.mark.parametrize("model", MODELS)
def test_limit_and_stop(blocking: Sdk, model: str) -> None:
    """An answer that is cut off says so."""
    assert blocking.create(model, max_tokens=2).stop_reason == "max_tokens"
    assert blocking.create(model, stop_sequences=["你"]).content[0].text.strip() == "echo: Grüße"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_thinking(blocking: Sdk, provider: str) -> None:
    """Thinking is a block before the words, streamed as it comes, and the next turn may give it back."""
    model = f"{provider}/mock-fault/reasoning-8"
    thinking = {"type": "enabled", "budget_tokens": 1024}
    events, message = blocking.stream(model, thinking=thinking, max_tokens=4000)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].thinking.startswith("thinking about it")
    assert message.content[0].signature
    assert any(event.type == "thinking" for event in events)
    talk = [*USER, {"role": "assistant", "content": message.content}, *USER]
    assert blocking.create(model, talk, thinking=thinking, max_tokens=4000).content[-1].text == SAID


def claude_code(model: str) -> dict[str, Any]:
    """A request as Claude Code makes it, but for the length."""
    mark = {"cache_control": {"type": "ephemeral"}}
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    return {
        "model": model,
        "max_tokens": 32_000,
        "system": [{"type": "text", "text": "You are Claude Code."}, {"type": "text", "text": "Rules.", **mark}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "<system-reminder/>"}, {"type": "text", "text": "look"}],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Reading."},
                    {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a.png"}},
                    {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {"path": "b"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [picture]},
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_2",
                        "content": "no such file",
                        "is_error": True,
                        **mark,
                    },
                ],
            },
        ],
        "tools": [{**tool("Read"), "eager_input_streaming": True}, {**tool("mcp__" + "a_long_server_" * 6), **mark}],
        "metadata": {"user_id": "user_" + "0" * 64 + "_account__session_" + "1" * 36},
        "thinking": {"type": "adaptive"},
        "stream": True,
        "extra_body": {
            "output_config": {"effort": "high"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        },
        "extra_headers": {"anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14"},
        "extra_query": {"beta": "true"},
    }


@pytest.mark.parametrize("model", ["gpt-4o", "gemini/any"])
def test_what_claude_code_sends(blocking: Sdk, lab: Lab, model: str) -> None:
    """Everything in it is carried over or left out as the documents say; nothing of it is refused."""
    events = list(blocking.client.messages.create(**claude_code(model)))
    assert events[-1].type == "message_stop"
    sent = json.loads(lab.mock.seen()[-1].body)
    if model == "gpt-4o":
        assert [message["role"] for message in sent["messages"]] == [
            "system",
            "user",
            "assistant",
            "tool",
            "tool",
            "user",
        ]
        assert sent["messages"][4]["content"] == "Error: no such file"
        assert len(sent["safety_identifier"]) == 64
        assert "reasoning_effort" not in sent
        assert all(len(one["function"]["name"]) <= 64 for one in sent["tools"])


@pytest.mark.parametrize(("model", "source"), [("gpt-4o", "estimated"), ("claude/any", "provider")])
def test_count_tokens(sdk: Sdk, model: str, source: str) -> None:
    """A count, the provider's own where it has one."""
    fields: Any = {"model": model, "messages": USER, "system": "Be kind.", "tools": [tool("time")]}
    assert sdk.call(sdk.client.messages.count_tokens(**fields)).input_tokens > 2
    raw = sdk.call(sdk.client.messages.with_raw_response.count_tokens(**fields))
    assert raw.headers["x-gateway-token-source"] == source


def test_models(blocking: Sdk) -> None:
    """The list, page by page, and one with a slash in its name."""
    names = [model.id for model in blocking.client.models.list(limit=3)]
    assert {"gpt-4o", "fast", "org/model-7b"} <= set(names)
    assert len(names) == len(set(names))
    assert blocking.client.models.retrieve("org/model-7b").display_name == "org/model-7b"


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("script", "error", "status", "kind"),
    [
        ("status-400", anthropic.BadRequestError, 400, "invalid_request_error"),
        ("status-409", anthropic.ConflictError, 409, "invalid_request_error"),
        ("status-413", anthropic.ContentTooLargeError, 413, "request_too_large"),
        ("status-422", anthropic.UnprocessableEntityError, 422, "invalid_request_error"),
        ("status-429", anthropic.RateLimitError, 429, "rate_limit_error"),
        ("status-401", anthropic.InternalServerError, 502, "api_error"),
        ("status-500", anthropic.InternalServerError, 502, "api_error"),
        ("status-529", anthropic.OverloadedError, 529, "overloaded_error"),
        ("status-504", anthropic.GatewayTimeoutError, 504, "timeout_error"),
        ("html-200", anthropic.InternalServerError, 502, "api_error"),
    ],
)
def test_errors(blocking: Sdk, provider: str, script: str, error: Any, status: int, kind: str) -> None:
    """Failures are the SDK's own classes, with Anthropic's type and the request's id."""
    with pytest.raises(anthropic.APIStatusError) as failed:
        blocking.create(fault(script, provider))
    assert type(failed.value) is error
    assert (failed.value.status_code, failed.value.type) == (status, kind)
    assert str(failed.value.request_id).startswith("req-")
    assert failed.value.api_message


@pytest.mark.parametrize(
    ("key", "model", "error"),
    [
        (UNKNOWN_KEY, "gpt-4o", anthropic.AuthenticationError),
        (GPT_KEY, "rescued", anthropic.PermissionDeniedError),
        (KEY, "gpt-nothing", anthropic.NotFoundError),
    ],
)
def test_refusals(lab: Lab, key: str, model: str, error: type[Exception]) -> None:
    """So are our own refusals; the key comes as Bearer or as x-api-key."""
    for carrier in ("api_key", "auth_token"):
        sdk = Sdk(lab.gateway.base_url, None, **{"api_key": None, carrier: key})
        with pytest.raises(error):
            sdk.create(model)
        sdk.close()


def test_rate_limit(lab: Lab) -> None:
    """A key's third call within a minute is RateLimitError; Anthropic's headers say what is left."""
    sdk = Sdk(lab.gateway.base_url, None, api_key=TIGHT_MESSAGES_KEY)
    raw = sdk.client.messages.with_raw_response.create(model="gpt-4o", max_tokens=9, messages=USER)
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "1"
    sdk.create("gpt-4o")
    with pytest.raises(anthropic.RateLimitError) as refused:
        sdk.create("gpt-4o")
    assert int(refused.value.response.headers["retry-after"]) > 0
    sdk.close()


def test_budget(lab: Lab) -> None:
    """Who has no money left may still count; a spent budget is not worth a retry."""
    sdk = Sdk(lab.gateway.base_url, None, api_key=POOR_KEY, max_retries=2)
    with pytest.raises(anthropic.RateLimitError) as refused:
        sdk.create("gpt-4o")
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert sdk.client.messages.count_tokens(model="gpt-4o", messages=USER).input_tokens > 0
    sdk.close()


@pytest.mark.parametrize(
    ("script", "calls"), [("status-500", 1), ("status-400", 1), ("status-529+retry-after-0.01", 3)]
)
def test_retries(lab: Lab, script: str, calls: int) -> None:
    """With two retries allowed, the SDK sends again only where `x-should-retry` says so."""
    sdk, model = Sdk(lab.gateway.base_url, None, max_retries=2), fault(script)
    with pytest.raises(anthropic.APIStatusError):
        sdk.create(model)
    assert lab.calls(model) == calls
    sdk.close()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "script", ["cut-after-900", "end-after-5", "stall-after-5", "malformed-after-5", "error-after-5"]
)
def test_broken_streams(sdk: Sdk, provider: str, script: str) -> None:
    """What came before is delivered, then an error is raised: a stream never just ends."""
    with pytest.raises(anthropic.APIStatusError) as broken:
        sdk.stream(fault(f"{script}+tokens-50+pace-2ms", provider))
    assert broken.value.type in ("api_error", "timeout_error")


def test_leaving_a_stream_early(blocking: Sdk) -> None:
    """Breaking out of the loop leaves a client that works."""
    with blocking.client.messages.stream(model=fault("tokens-2000+pace-5ms"), max_tokens=4000, messages=USER) as stream:
        for _ in stream:
            break
    assert blocking.create("gpt-4o").content[0].text == SAID


def test_one_provider(lab: Lab) -> None:
    """A client per provider is one base URL."""
    sdk = Sdk(f"{lab.gateway.base_url}/providers/named", None)
    assert sdk.create("gpt-4o").content[0].text == SAID
    with pytest.raises(anthropic.NotFoundError):
        sdk.create("nothing")
    sdk.close()
