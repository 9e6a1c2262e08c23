"""An adapter against a real server: what scripts pass in, what they get, and what errors say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from adapters import Adapter, EgressPolicy, Transport, adapter_from_config, create_adapter
from adapters.errors import (
    AuthenticationError,
    ConfigurationError,
    EgressDeniedError,
    InvalidRequestError,
    RateLimitedError,
    UnsupportedFeatureError,
    UpstreamConnectionError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from adapters.types import (
    ChatRequest,
    Finished,
    JsonFormat,
    Message,
    TextDelta,
    TextPart,
    Timeouts,
    ToolDefinition,
    UsageReported,
)
from tests.upstream import (
    Pause,
    Play,
    Upstream,
    cut_after,
    json_answer,
    reset_after,
    sse,
    stall_before_headers,
    unused_port,
)

CHAT = "/v1/chat/completions"
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "served-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}
CHUNKS = [
    json.dumps({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "served-model", **fields})
    for fields in (
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": "lo!"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}},
    )
]
Make = Callable[..., Adapter]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
async def make(upstream: Upstream) -> AsyncIterator[Make]:
    transport = Transport()

    def made(**changes: Any) -> Adapter:
        given = {"base_url": upstream.base_url + "/v1", "api_key": "sk-canary", "model": "m1", "transport": transport}
        return create_adapter("openai_compatible", **{**given, **changes})

    yield made
    await transport.aclose()


@pytest.mark.parametrize(
    "messages",
    [
        "hi",
        [{"role": "user", "content": "hi"}],
        [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        (Message(role="user", parts=(TextPart(text="hi"),)),),
        ChatRequest(messages=(Message(role="user", parts=(TextPart(text="hi"),)),)),
    ],
    ids=["text", "dicts", "parts", "messages", "request"],
)
async def test_messages_come_in_many_forms_and_leave_in_one(upstream: Upstream, make: Make, messages: Any) -> None:
    upstream.on("POST", CHAT, json_answer(REPLY))
    result = await make().chat(messages)
    assert (result.reply, result.status, result.raw) == ("Hello!", 200, REPLY)
    assert (result.usage.input_tokens, result.usage.output_tokens) == (5, 2)
    seen = upstream.requests[0]
    assert seen.headers["authorization"] == "Bearer sk-canary"
    assert seen.json["model"] == "m1"
    assert [(message["role"], message["content"]) for message in seen.json["messages"]] in (
        [("user", "hi")],
        [("user", [{"type": "text", "text": "hi"}])],
    )


async def test_options_are_openais_and_unknown_ones_are_forwarded(upstream: Upstream, make: Make) -> None:
    upstream.on("POST", CHAT, json_answer(REPLY))
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    await make().chat(
        "hi",
        "m2",
        params={"temperature": 0.9, "top_p": 0.5, "max_tokens": 10},
        tools=[tool],
        temperature=0.1,
        response_format={"type": "json_object"},
        stop="END",
        seed=7,
        min_p=0.05,
        user=None,
    )
    body = upstream.requests[0].json
    assert body["model"] == "m2"
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (0.1, 0.5, 10, 7)
    assert body["response_format"] == {"type": "json_object"}
    assert body["tools"][0]["function"]["name"] == "f"
    assert body["min_p"] == 0.05 and "user" not in body


async def test_options_may_be_canonical_values(upstream: Upstream, make: Make) -> None:
    upstream.on("POST", CHAT, json_answer(REPLY))
    tools = (ToolDefinition(name="f"),)
    await make().chat("hi", tools=tools, response_format=JsonFormat(), max_output_tokens=3, stop=("a", "b"))
    body = upstream.requests[0].json
    assert (body["tools"][0]["function"]["name"], body["max_tokens"], body["stop"]) == ("f", 3, ["a", "b"])
    assert body["response_format"] == {"type": "json_object"}


async def test_options_beside_a_request_change_it(upstream: Upstream, make: Make) -> None:
    upstream.on("POST", CHAT, json_answer(REPLY))
    request = ChatRequest(messages=(Message(role="user", parts=(TextPart(text="hi"),)),), temperature=0.2, seed=1)
    await make().chat(request, temperature=0.7, min_p=0.1)
    body = upstream.requests[0].json
    assert (body["temperature"], body["seed"], body["min_p"]) == (0.7, 1, 0.1)


@pytest.mark.parametrize("messages", [[], (), [{"role": "user"}], [{"role": "nobody", "content": "x"}]])
async def test_messages_that_cannot_be_read_are_refused_before_any_call(
    upstream: Upstream, make: Make, messages: Any
) -> None:
    with pytest.raises(InvalidRequestError):
        await make().chat(messages)
    assert upstream.requests == []


async def test_a_stream_gives_events(upstream: Upstream, make: Make) -> None:
    upstream.on("POST", CHAT, sse([*CHUNKS, "[DONE]"]))
    events = [event async for event in make().stream([{"role": "user", "content": "hi"}])]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello!"
    assert any(isinstance(event, Finished) and event.reason == "stop" for event in events)
    usage = next(event.usage for event in events if isinstance(event, UsageReported))
    assert (usage.input_tokens, usage.output_tokens) == (5, 2)
    assert upstream.requests[0].json["stream"] is True


async def test_an_open_stream_gives_bytes_beside_their_events(upstream: Upstream, make: Make) -> None:
    upstream.on("POST", CHAT, sse([*CHUNKS, "[DONE]"], headers={"x-request-id": "r1"}))
    request = ChatRequest(messages=(Message(role="user", parts=(TextPart(text="hi"),)),))
    received, texts = b"", []
    async with make().open_stream(request) as opened:
        assert (opened.status, opened.headers["x-request-id"]) == (200, "r1")
        async for chunk, events in opened:
            received += chunk
            texts += [event.text for event in events if isinstance(event, TextDelta)]
    assert received == b"".join(f"data: {chunk}\n\n".encode() for chunk in [*CHUNKS, "[DONE]"])
    assert "".join(texts) == "Hello!"


async def test_leaving_a_stream_hangs_up_on_the_provider(upstream: Upstream, make: Make) -> None:
    upstream.on("POST", CHAT, sse(CHUNKS[:2] + CHUNKS[1:2] * 500, pause_s=0.02))
    events = make().stream("hi")
    async for event in events:
        if isinstance(event, TextDelta):
            break
    left_at = asyncio.get_running_loop().time()
    await events.aclose()  # type: ignore[attr-defined]  # an async generator
    assert await asyncio.to_thread(upstream.wait_closed) - left_at < 0.2


@pytest.mark.parametrize("broken", [reset_after, cut_after])
async def test_a_stream_cut_short_is_never_a_finished_one(
    upstream: Upstream, make: Make, broken: Callable[..., Any]
) -> None:
    upstream.on("POST", CHAT, broken(*[f"data: {chunk}\n\n".encode() for chunk in CHUNKS[:3]]))
    events = []
    with pytest.raises((UpstreamProtocolError, UpstreamConnectionError)):
        async for event in make().stream("hi"):
            events.append(event)
    assert not any(isinstance(event, Finished) for event in events)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (429, RateLimitedError), (400, InvalidRequestError)]
)
async def test_a_providers_error_names_provider_and_model_but_no_key(
    upstream: Upstream, make: Make, streamed: bool, status: int, kind: type[Exception]
) -> None:
    error = {"error": {"message": "bad key sk-canary", "type": "x", "code": None}}
    upstream.on("POST", CHAT, json_answer(error, status=status))
    with pytest.raises(kind) as caught:
        if streamed:
            _ = [event async for event in make().stream("hi")]
        else:
            await make().chat("hi")
    raised: Any = caught.value
    assert (raised.provider, raised.model, raised.upstream_status) == ("openai_compatible", "m1", status)
    assert "canary" not in str(raised) + repr(raised)


async def test_transport_errors_name_the_provider_too(make: Make) -> None:
    with pytest.raises(UpstreamConnectionError) as caught:
        await make(base_url=f"http://127.0.0.1:{unused_port()}/v1").chat("hi")
    assert (caught.value.provider, caught.value.model) == ("openai_compatible", "m1")


@pytest.mark.parametrize("streamed", [False, True])
async def test_timeout_s_bounds_the_whole_call(upstream: Upstream, make: Make, streamed: bool) -> None:
    upstream.on("POST", CHAT, stall_before_headers())
    adapter = make(timeout_s=0.3)
    async with asyncio.timeout(2):
        with pytest.raises(UpstreamTimeoutError):
            if streamed:
                _ = [event async for event in adapter.stream("hi")]
            else:
                await adapter.chat("hi")


async def test_a_whole_answer_may_take_longer_than_a_first_byte(upstream: Upstream, make: Make) -> None:
    upstream.on("POST", CHAT, Play(steps=(Pause(0.4), *json_answer(REPLY).steps)))
    adapter = make()
    adapter.target = replace(adapter.target, timeouts=Timeouts(first_byte_s=0.1, total_s=5.0))
    assert (await adapter.chat("hi")).reply == "Hello!"


async def test_models_are_listed(upstream: Upstream, make: Make) -> None:
    rows = [{"id": name, "object": "model"} for name in ("a", "m1")]
    upstream.on("GET", "/v1/models", json_answer({"object": "list", "data": rows}))
    assert [model.id for model in await make().list_models()] == ["a", "m1"]
    report = await make().test()
    assert (report.ok, report.tried, report.models, report.model_listed) == (True, "models", ("a", "m1"), True)
    assert report.latency_ms > 0


async def test_a_test_call_asks_for_one_short_answer_where_there_is_no_list(upstream: Upstream, make: Make) -> None:
    upstream.on("POST", CHAT, json_answer(REPLY))
    report = await make().test()
    assert (report.ok, report.tried) == (True, "chat")
    assert upstream.requests[-1].json["max_tokens"] == 16


async def test_a_test_call_reports_what_went_wrong(upstream: Upstream, make: Make) -> None:
    upstream.on("GET", "/v1/models", json_answer({"error": {"message": "no"}}, status=401))
    report = await make().test()
    assert not report.ok and isinstance(report.error, AuthenticationError)
    assert "canary" not in repr(report)


async def test_embeddings_keep_the_order_of_their_inputs(upstream: Upstream, make: Make) -> None:
    rows = [{"object": "embedding", "index": index, "embedding": [float(index), 0.5]} for index in (1, 0)]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    upstream.on("POST", "/v1/embeddings", json_answer({"object": "list", "data": rows, "model": "e", "usage": usage}))
    response = await make().embed(["a", "b"], "e", dimensions=2)
    assert response.vectors == ((0.0, 0.5), (1.0, 0.5))
    assert upstream.requests[0].json["dimensions"] == 2


async def test_images_are_made(upstream: Upstream, make: Make) -> None:
    upstream.on("POST", "/v1/images/generations", json_answer({"created": 1, "data": [{"b64_json": "aGk="}]}))
    response = await make().image("a cat", "gpt-image-1", size="1024x1024")
    assert response.images[0].data == b"hi"
    assert upstream.requests[0].json["size"] == "1024x1024"


def test_synchronous_code_chats_too(upstream: Upstream) -> None:
    upstream.on("POST", CHAT, json_answer(REPLY))
    transport = Transport()
    adapter = create_adapter("openai_compatible", base_url=upstream.base_url + "/v1", model="m1", transport=transport)
    try:
        assert adapter.chat_sync("hi", temperature=0).reply == "Hello!"
    finally:
        transport.run_sync(transport.aclose())


# --- making adapters -----------------------------------------------------------------------------------------------


def test_an_unknown_kind_is_told_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"'opneai'.*openai.*ollama.*stub"):
        create_adapter("opneai")


def test_a_kind_without_an_address_of_its_own_needs_one() -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        create_adapter("openai_compatible")


@pytest.mark.parametrize("base_url", ["file:///etc/passwd", "https://user:pw@host/", "https://host/v1?x=1", "host"])
def test_an_address_that_cannot_be_called_is_refused_at_once(base_url: str) -> None:
    with pytest.raises(EgressDeniedError):
        create_adapter("openai", base_url=base_url)


async def test_the_policy_that_is_given_holds(upstream: Upstream, make: Make) -> None:
    with pytest.raises(EgressDeniedError):
        make(policy=EgressPolicy.public())
    assert upstream.connections == 0


@pytest.mark.parametrize("timeout_s", [0, -1, True, "5", float("nan"), float("inf")])
def test_a_timeout_must_be_a_positive_number(timeout_s: Any) -> None:
    with pytest.raises(ConfigurationError):
        create_adapter("openai", timeout_s=timeout_s)


def test_no_key_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    assert create_adapter("openai").target.api_key is None
    with pytest.raises(ConfigurationError):
        adapter_from_config({"kind": "openai", "api_key_env": "OPENAI_API_KEY"})
    given = adapter_from_config({"kind": "openai", "api_key_env": "K"}, environ={"K": "sk-given"})
    assert given.target.api_key == "sk-given"


def test_no_key_shows_in_a_repr() -> None:
    adapter = create_adapter("openai", api_key="sk-canary", headers={"x-secret": "sk-canary"})
    assert "canary" not in repr(adapter) + repr(adapter.target)


def test_a_registry_json_entry_is_a_config() -> None:
    adapter = adapter_from_config(
        {
            "name": "lab",
            "adapter": "lmstudio",
            "base": "http://localhost:1234/v1/",
            "models": [{"id": "qwen", "tags": ["chat"]}, "other"],
            "tags": ["chat"],
            "headers": {"x-lab": "1"},
            "settings": {"a": 1},
            "timeout": 20,
            "meta": {"note": "x"},
        }
    )
    target = adapter.target
    assert (target.provider, target.kind, target.base_url) == ("lab", "lmstudio", "http://localhost:1234/v1")
    assert (target.model, target.headers["x-lab"], target.options["a"]) == ("qwen", "1", 1)
    assert target.timeouts.total_s == 20


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"kind": "openai", "bas_url": "x"}, "bas_url"),
        ({"base_url": "https://h.example"}, "kind"),
        ({"kind": "openai", "adapter": "openai"}, "adapter"),
        ({"kind": "openai", "headers": ["a"]}, "headers"),
        ({"kind": "openai", "headers": {"a": 1}}, "headers"),
        ({"kind": "openai", "api_key": 5}, "api_key"),
        ({"kind": "openai", "timeout": "soon"}, "timeout_s"),
    ],
)
def test_a_config_with_a_mistake_is_told_which(config: dict[str, Any], param: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        adapter_from_config(config)
    assert caught.value.param == param


async def test_what_the_stub_cannot_do_is_said() -> None:
    with pytest.raises(UnsupportedFeatureError):
        await create_adapter("stub").embed("x")
