"""The hub's own /v1/messages: requests read, answers, streams and errors written, Anthropic's SDK reading."""

from __future__ import annotations

import json
import random
import string
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from adapters.anthropic import AnthropicCodec
from adapters.anthropic_client import AnthropicClientCodec, with_betas
from adapters.errors import (
    AuthenticationError,
    ContextLengthExceededError,
    InvalidRequestError,
    LLMError,
    RateLimitedError,
    UnsupportedFeatureError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from adapters.kinds import profile_for
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Choice,
    FilePart,
    Finished,
    ImagePart,
    JsonSchemaFormat,
    Message,
    NamedTool,
    Part,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    ResponseStarted,
    StreamEvent,
    Target,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    ToolDefinition,
    Usage,
    UsageReported,
    WireResponse,
)
from tests.adapters.replay import assembled, calls_of, decode, finished, last_usage

CLIENT = AnthropicClientCodec()
PROVIDER = AnthropicCodec()
OPUS_4_8 = "claude-opus-4-8"
TARGET = Target(
    kind="anthropic",
    base_url="https://api.anthropic.com",
    auth_type="api_key",
    api_key="k",
    model=OPUS_4_8,
    profile=profile_for("anthropic", OPUS_4_8),
)


def parse(**fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], **fields}
    return CLIENT.parse_request(body).request


# --- requests ------------------------------------------------------------------------------------------------------


def test_every_known_field_finds_its_place() -> None:
    body = {
        "model": "m",
        "max_tokens": 10,
        "stream": True,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hi"}],
        "stop_sequences": ["a"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "tools": [
            {
                "name": "f",
                "description": "d",
                "input_schema": {"type": "object"},
                "strict": True,
                "defer_loading": True,
            },
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
        "context_management": {"edits": []},
        "mcp_servers": [],
        "field_of_tomorrow": 1,
    }
    asked = CLIENT.parse_request(body)
    assert (asked.model, asked.stream) == ("m", True)
    assert asked.request == ChatRequest(
        messages=(
            Message(
                role="system",
                parts=(TextPart(text="s", provider_metadata={"anthropic": {"cache_control": {"type": "ephemeral"}}}),),
            ),
            Message(role="user", parts=(TextPart(text="hi"),)),
        ),
        tools=(
            ToolDefinition(
                name="f",
                description="d",
                parameters={"type": "object"},
                strict=True,
                provider_metadata={"anthropic": {"defer_loading": True}},
            ),
        ),
        tool_choice="required",
        parallel_tool_calls=False,
        response_format=JsonSchemaFormat(name="response", schema={"type": "object"}, strict=True),
        max_output_tokens=10,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop=("a",),
        reasoning_effort="medium",
        user="u",
        extra={"mcp_servers": [], "field_of_tomorrow": 1, "tools": [body["tools"][1]]},  # type: ignore[index]
        dialect="anthropic.messages",
        provider_metadata={
            "anthropic": {
                "context_management": {"edits": []},
                "service_tier": "standard_only",
                "thinking": {"type": "enabled", "budget_tokens": 2000},
                "output_config": body["output_config"],
            }
        },
    )


def test_tool_results_become_messages_of_their_own_with_the_tools_name() -> None:
    request = parse(
        messages=[
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "5", "is_error": True},
                    {"type": "text", "text": "so?"},
                ],
            },
        ]
    )
    assert request.messages == (
        Message(role="assistant", parts=(ToolCall(id="t1", name="f", arguments='{"a":1}'),)),
        Message(role="tool", tool_call_id="t1", name="f", parts=(TextPart(text="5"),), is_error=True),
        Message(role="user", parts=(TextPart(text="so?"),)),
    )


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 60000}}, "max"),
        ({"thinking": {"type": "adaptive"}}, "high"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low"),
        ({"output_config": {"effort": "xhigh"}}, "xhigh"),
    ],
)
def test_thinking_is_read_as_an_effort(fields: dict[str, Any], effort: str | None) -> None:
    assert parse(**fields).reasoning_effort == effort


def test_the_choice_of_a_tool() -> None:
    tool = {"name": "f", "input_schema": {}}
    assert parse(tools=[tool], tool_choice={"type": "tool", "name": "f"}).tool_choice == NamedTool(name="f")
    assert parse(tools=[tool], tool_choice={"type": "none"}).tool_choice == "none"
    assert parse(tools=[tool], tool_choice={"type": "auto"}).parallel_tool_calls is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"model": 3}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": 1.5}, "top_k"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences.0"),
        ({"stop_sequences": ["\0"]}, "stop_sequences.0"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "\0"}]}]}, "messages.0.content.0.text"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id"),
        ({"system": 1}, "system"),
        ({"system": [{"type": "text"}]}, "system.0.text"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [3]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content.0.tool_use_id"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%"}}
                        ],
                    }
                ]
            },
            "messages.0.content.0.source.data",
        ),
        ({"tools": {}}, "tools"),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "text"}}}, "output_config.format"),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        parse(**fields)
    assert raised.value.param == param
    assert param in str(raised.value)


def test_text_that_is_no_unicode_deep_inside_is_refused_and_not_a_crash() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "\ud800"}}
    with pytest.raises(InvalidRequestError):
        PROVIDER.build_request(parse(messages=[{"role": "assistant", "content": [call]}]), TARGET, stream=False)


def test_counting_needs_no_max_tokens() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert CLIENT.parse_request(body, counting=True).request.max_output_tokens is None


def test_betas_reach_an_anthropic_upstream() -> None:
    request = with_betas(parse(context_management={"edits": []}), "a-1, b-2,")
    built = PROVIDER.build_request(request, TARGET, stream=False)
    assert built.headers["anthropic-beta"] == "a-1,b-2"
    assert json.loads(built.body)["context_management"] == {"edits": []}
    assert with_betas(request, "") is request


# --- round trips ---------------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
ids = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
marks = st.sampled_from([{}, {"anthropic": {"cache_control": {"type": "ephemeral"}}}])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words, lambda inner: st.lists(inner, max_size=3)
)
arguments = st.dictionaries(words, json_values, max_size=3).map(
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
)
texts = st.builds(TextPart, text=words, provider_metadata=marks)
images = st.one_of(
    st.builds(ImagePart, media_type=st.just("image/png"), data=st.binary(max_size=9), provider_metadata=marks),
    st.builds(ImagePart, url=st.just("https://example.test/a.png"), provider_metadata=marks),
)
files = st.one_of(
    st.builds(FilePart, media_type=st.just("application/pdf"), data=st.binary(max_size=9), filename=st.none() | words),
    st.builds(FilePart, file_id=ids, provider_metadata=marks),
    st.builds(FilePart, media_type=st.just("text/plain"), data=words.map(str.encode), filename=st.none() | words),
)
thoughts = st.one_of(
    st.builds(ReasoningPart, text=words, provider_metadata=words.map(lambda s: {"anthropic": {"signature": s}})),
    st.builds(
        ReasoningPart, text=st.just(""), provider_metadata=words.map(lambda s: {"anthropic": {"redacted_data": s}})
    ),
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """System first, then user and assistant by turns; every call gets its result, in order."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(role="system", parts=tuple(draw(st.lists(texts, min_size=1, max_size=2)))))
    numbers = iter(range(100))
    for _ in range(draw(st.integers(1, 3))):
        user = draw(st.lists(texts | images | files, min_size=1, max_size=3))
        messages.append(Message(role="user", parts=tuple(user)))
        calls = [
            ToolCall(
                id=f"{draw(ids)}-{next(numbers)}",
                name=draw(ids),
                arguments=draw(arguments),
                provider_metadata=draw(marks),
            )
            for _ in range(draw(st.integers(0, 2)))
        ]
        parts = (*draw(st.lists(thoughts, max_size=2)), *draw(st.lists(texts, min_size=1, max_size=2)), *calls)
        messages.append(Message(role="assistant", parts=parts))
        for call in calls:
            content = tuple(draw(st.lists(texts | images, max_size=2)))
            messages.append(
                Message(
                    role="tool",
                    tool_call_id=call.id,
                    name=call.name,
                    parts=content,
                    is_error=draw(st.booleans()),
                    provider_metadata=draw(marks),
                )
            )
    return tuple(messages)


tools = st.builds(
    ToolDefinition,
    name=ids,
    description=st.none() | words,
    parameters=st.just({"type": "object", "properties": {"a": {"type": "integer"}}}),
    strict=st.none() | st.just(False),
    provider_metadata=marks,
)


@settings(max_examples=30, deadline=None)
@given(
    messages=conversations(), tools=st.lists(tools, max_size=2), user=st.none() | words, stop=st.lists(ids, max_size=2)
)
def test_a_request_survives_the_way_out_and_back(
    messages: tuple[Message, ...], tools: list[ToolDefinition], user: str | None, stop: list[str]
) -> None:
    request = ChatRequest(
        messages=messages,
        tools=tuple(tools),
        tool_choice="auto" if tools else None,
        max_output_tokens=100,
        stop=tuple(stop),
        user=user,
        dialect="anthropic.messages",
    )
    built = PROVIDER.build_request(request, TARGET, stream=False)
    assert built.warnings == ()
    assert CLIENT.parse_request(json.loads(built.body)).request == request


@settings(max_examples=30, deadline=None)
@given(parts=st.lists(st.one_of(texts.map(lambda p: TextPart(text=p.text)), thoughts), max_size=4), arguments=arguments)
def test_an_answer_survives_the_way_out_and_back(parts: list[Part], arguments: str) -> None:
    usage = Usage(input_tokens=30, output_tokens=7, cache_read_tokens=5, cache_write_tokens=6, reasoning_tokens=2)
    content = (*parts, ToolCall(id="t1", name="f", arguments=arguments))
    answer = ChatResponse(
        id="msg_1",
        model="m",
        choices=(Choice(parts=content, finish_reason="tool_calls", raw_finish_reason="tool_use"),),
        usage=usage,
    )
    body = CLIENT.encode_response(answer, request_id="req_1", model="m")
    again = PROVIDER.parse_response(WireResponse(status=200, headers={}, body=json.dumps(body).encode()), TARGET)
    assert again.choices == answer.choices
    assert (again.usage.input_tokens, again.usage.output_tokens) == (30, 7)
    assert (again.usage.cache_read_tokens, again.usage.cache_write_tokens, again.usage.reasoning_tokens) == (5, 6, 2)


# --- answers and streams, read by Anthropic's SDK ------------------------------------------------------------------

EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def written(*events: StreamEvent) -> bytes:
    encoder = CLIENT.stream_encoder(request_id="req_1", model="alias", include_usage=True)
    return b"".join(encoder.encode(event) for event in events) + encoder.finish()


def sdk_stream(body: bytes) -> Any:
    """The message that the official SDK assembles from `body`, through its own streaming helper."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    with (
        sdk(answer) as client,
        client.messages.stream(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}]) as stream,
    ):
        return stream.get_final_message()


def sdk(answer: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key="k",
        base_url="http://hub.test",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )


def test_the_sdk_reads_our_stream() -> None:
    body = written(
        ResponseStarted(id="chatcmpl-1", model="gpt"),
        UsageReported(usage=Usage(input_tokens=20, cache_read_tokens=5)),
        ReasoningDelta(text="hm"),
        ReasoningDelta(text=" hm", provider_metadata={"anthropic": {"signature": "SIG"}}),
        TextDelta(text="Hel"),
        TextDelta(text="lo\u2028"),
        ToolCallStarted(index=0, id="call.1", name="f"),
        ToolCallDelta(index=0, arguments='{"a":'),
        ToolCallDelta(index=0, arguments="1}"),
        ToolCallStarted(index=1, id="call_2", name="g"),
        ToolCallDelta(index=1, arguments="{}"),
        Finished(reason="tool_calls", raw_reason="tool_calls"),
        UsageReported(usage=Usage(input_tokens=20, cache_read_tokens=5, output_tokens=9, reasoning_tokens=3)),
    )
    for line in body.decode().split("\n"):
        if line.startswith("data: ") and '"ping"' not in line:
            EVENTS.validate_json(line[6:])
    message = sdk_stream(body)
    thinking, text, first, second = message.content
    assert (thinking.thinking, thinking.signature, text.text) == ("hm hm", "SIG", "Hello\u2028")
    assert (first.name, first.input, second.name, second.input) == ("f", {"a": 1}, "g", {})
    assert first.id != "call.1" and second.id == "call_2"
    assert (message.id, message.model, message.stop_reason) == ("msg_req_1", "alias", "tool_use")
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (15, 5, 9)
    assert usage.output_tokens_details.thinking_tokens == 3


def test_the_sdk_reads_our_answer() -> None:
    answer = ChatResponse(
        id="chatcmpl-1",
        model="gpt",
        choices=(
            Choice(
                parts=(ReasoningPart(text="hm"), TextPart(text="hi"), ToolCall(id="c1", name="f", arguments='{"a":1}')),
                finish_reason="length",
                raw_finish_reason="length",
            ),
        ),
        usage=Usage(input_tokens=4, output_tokens=2),
    )
    body = CLIENT.encode_response(answer, request_id="req_1", model="alias")
    with sdk(lambda request: httpx2.Response(200, json=body)) as client:
        message = client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("max_tokens", 4, 2)
    anthropic.types.Message.model_validate(body)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequestError("bad", param="messages.0"), 400, "invalid_request_error"),
        (UnsupportedFeatureError("no", param="n"), 400, "invalid_request_error"),
        (RateLimitedError("slow", retry_after_s=3), 429, "rate_limit_error"),
        (UpstreamTimeoutError("late"), 504, "timeout_error"),
        (UpstreamUnavailableError("busy", upstream_status=529, upstream_message="SECRET"), 502, "overloaded_error"),
        (AuthenticationError("the provider did not accept the key", upstream_message="SECRET"), 502, "api_error"),
    ],
)
def test_the_sdk_reads_our_errors(error: LLMError, status: int, kind: str) -> None:
    body = CLIENT.encode_error(error, request_id="req_1")
    assert "SECRET" not in json.dumps(body)
    answer = httpx2.Response(error.status, json=body)
    with sdk(lambda request: answer) as client, pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
    assert (raised.value.status_code, raised.value.type) == (status, kind)
    assert raised.value.body == body
    assert error.message in raised.value.message


def test_the_sdk_sees_an_error_in_the_middle_of_a_stream() -> None:
    encoder = CLIENT.stream_encoder(request_id="req_1", model="alias", include_usage=True)
    body = encoder.encode(ResponseStarted(id=None, model="m")) + encoder.encode(TextDelta(text="hal"))
    body += encoder.error(UpstreamProtocolError("the stream was cut short"), request_id="req_1")
    assert b"message_stop" not in body and b"message_delta" not in body
    with pytest.raises(anthropic.APIStatusError) as raised:
        sdk_stream(body)
    assert "cut short" in str(raised.value)


def test_a_prompt_too_long_says_so_in_the_words_that_clients_look_for() -> None:
    body = CLIENT.encode_error(ContextLengthExceededError("the model takes 10 tokens"), request_id="r")
    assert body["error"]["message"] == "prompt is too long: the model takes 10 tokens"


# --- the stream encoder's own rules --------------------------------------------------------------------------------


def names(body: bytes) -> list[str]:
    return [line[7:].decode() for line in body.split(b"\n") if line.startswith(b"event: ")]


def read_back(body: bytes) -> list[StreamEvent]:
    events, error = decode(PROVIDER.stream_decoder(TARGET), [body])
    assert error is None
    return events


def test_an_empty_answer_is_still_a_whole_stream() -> None:
    assert names(written()) == ["message_start", "ping", "message_delta", "message_stop"]
    assert finished(read_back(written(Finished(reason="content_filter")))).raw_reason == "refusal"


def test_one_block_is_open_at_a_time_and_indices_have_no_gaps() -> None:
    body = written(
        TextDelta(text="a"), ReasoningDelta(text="b"), TextDelta(text=""), RefusalDelta(text="c"), TextDelta(text="d")
    )
    data = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]
    indices = [(event["type"], event["index"]) for event in data if "index" in event]
    open_now: int | None = None
    for kind, index in indices:
        if kind == "content_block_start":
            assert open_now is None
            open_now = index
        assert index == open_now
        if kind == "content_block_stop":
            open_now = None
    assert sorted({index for _, index in indices}) == [0, 1, 2]


def test_thinking_nobody_signed_comes_back_as_thinking_anthropic_never_sees() -> None:
    body = written(ReasoningDelta(text="theirs"), TextDelta(text="a"), Finished(reason="stop"))
    (block, _) = sdk_stream(body).content
    turn = {"role": "assistant", "content": [block.model_dump(), {"type": "text", "text": "a"}]}
    request = parse(messages=[{"role": "user", "content": "hi"}, turn])
    assert request.messages[1].parts[0] == ReasoningPart(text="theirs")
    sent = json.loads(PROVIDER.build_request(request, TARGET, stream=False).body)
    assert sent["messages"][1]["content"] == [{"type": "text", "text": "a"}]


def test_calls_streamed_side_by_side_are_written_one_after_another() -> None:
    body = written(
        ToolCallStarted(index=0, id="a", name="f"),
        ToolCallStarted(index=1, id="b", name="g"),
        ToolCallDelta(index=1, arguments='{"y"'),
        ToolCallDelta(index=0, arguments='{"x":'),
        ToolCallDelta(index=1, arguments=":2}"),
        TextDelta(text="after"),
        ToolCallDelta(index=0, arguments="1}"),
        ToolCallStarted(index=2, id="c", name="h"),
        ToolCallDelta(index=2, arguments='{"cut'),
        Finished(reason="length"),
    )
    events = read_back(body)
    assert calls_of(events) == [("f", '{"x":1}'), ("g", '{"y":2}'), ("h", '{"cut')]
    assert [type(part).__name__ for part in assembled(events)] == ["ToolCall", "ToolCall", "TextPart", "ToolCall"]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), bodies=st.lists(arguments, min_size=1, max_size=4))
def test_any_interleaving_of_calls_keeps_every_calls_arguments(seed: int, bodies: list[str]) -> None:
    source = random.Random(seed)
    waiting = [[body[:3], body[3:5], body[5:]] for body in bodies]
    events: list[StreamEvent] = []
    started: list[int] = []
    while any(waiting) or len(started) < len(bodies):
        left = [index for index in started if waiting[index]]
        if len(started) < len(bodies) and (not left or source.random() < 0.5):
            events.append(ToolCallStarted(index=len(started), id=f"t{len(started)}", name=f"f{len(started)}"))
            started.append(len(started))
        else:
            index = source.choice(left)
            events.append(ToolCallDelta(index=index, arguments=waiting[index].pop(0)))
    assert calls_of(read_back(written(*events))) == [(f"f{index}", body) for index, body in enumerate(bodies)]


def test_only_the_first_choice_is_written() -> None:
    body = written(TextDelta(text="a"), TextDelta(text="b", choice=1), Finished(reason="length", choice=1))
    assert b'"b"' not in body and b"max_tokens" not in body


def test_usage_is_uncached_and_cumulative() -> None:
    usage = Usage(
        input_tokens=1320, output_tokens=9, cache_read_tokens=1217, cache_write_tokens=100, cache_write_1h_tokens=60
    )
    body = written(ResponseStarted(id="msg_7", model="m"), UsageReported(usage=usage), Finished(reason="stop"))
    found = last_usage(read_back(body))
    assert found.raw["input_tokens"] == 3
    assert found.raw["cache_creation"] == {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60}
    assert (found.input_tokens, found.output_tokens) == (1320, 9)
    assert read_back(body)[0] == ResponseStarted(id="msg_7", model="alias")
