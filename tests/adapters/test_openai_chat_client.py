"""OpenAI's chat dialect toward clients: their requests, our answers. Also the way through both sides of the dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from adapters.errors import InvalidRequestError, UpstreamProtocolError
from adapters.kinds import profile_for
from adapters.openai_chat import OpenAIChatCodec
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.types import (
    AudioPart,
    ChatRequest,
    ChatResponse,
    Choice,
    FilePart,
    Finished,
    ImagePart,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    NamedTool,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
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
from adapters.wire_json import dump_json, read_json

CLIENT = OpenAIChatClientCodec()
PROVIDER = OpenAIChatCodec()
TARGET = Target(
    kind="openai_compatible",
    base_url="https://api.test/v1",
    model="m",
    profile=profile_for("openai_compatible", "m", {"reasoning_echo_field": "reasoning_content"}),
)


def parse(**fields: Any) -> ChatRequest:
    fields.setdefault("messages", [{"role": "user", "content": "hello"}])
    return CLIENT.parse_request({"model": "gpt", **fields}).request


def parse_message(message: dict[str, Any], *before: dict[str, Any]) -> Message:
    return parse(messages=[*before, message]).messages[-1]


def user(part: dict[str, Any]) -> Message:
    return parse_message({"role": "user", "content": [part]})


def test_a_full_request() -> None:
    body = {
        "model": "tier:standard",
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "messages": [{"role": "developer", "content": "d"}, {"role": "user", "content": "u", "name": "ann"}],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}, "strict": True}},
            {"type": "custom", "custom": {"name": "sql"}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "max_tokens": 5,
        "max_completion_tokens": 6.0,
        "temperature": 0,
        "top_p": 0.5,
        "presence_penalty": None,
        "logit_bias": {"50256": -100},
        "n": 2,
        "seed": 7,
        "stop": "END",
        "reasoning": {"effort": "low"},
        "user": "u1",
        "metadata": {"a": "b"},
        "store": False,
    }
    asked = CLIENT.parse_request(body)
    assert (asked.model, asked.stream) == ("tier:standard", True)
    assert asked.request == ChatRequest(
        messages=(
            Message(role="system", parts=(TextPart(text="d"),)),
            Message(role="user", parts=(TextPart(text="u"),), name="ann"),
        ),
        tools=(ToolDefinition(name="f", description="d", strict=True),),
        tool_choice=NamedTool(name="f"),
        parallel_tool_calls=False,
        response_format=JsonSchemaFormat(name="n", schema={"type": "object"}),
        max_output_tokens=6,
        temperature=0,
        top_p=0.5,
        logit_bias={"50256": -100},
        n=2,
        seed=7,
        stop=("END",),
        reasoning_effort="low",
        user="u1",
        metadata={"a": "b"},
        include_usage=True,
        extra={
            "store": False,
            "stream_options": {"include_obfuscation": False},
            "tools": [{"type": "custom", "custom": {"name": "sql"}}],
        },
        dialect="openai.chat",
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [7]}, "messages[0]"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a\ud83d"}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name"),
        ({"model": ["a"]}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"max_completion_tokens": "10"}, "max_completion_tokens"),
        ({"n": -5}, "n"),
        ({"stop": [1]}, "stop[0]"),
        ({"stop": {"a": 1}}, "stop"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"logit_bias": {"1": 200}}, "logit_bias.1"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse(**fields)
    assert caught.value.param == param
    assert caught.value.status == 400
    assert str(caught.value).startswith(param) and str(caught.value).endswith(".")


def test_a_body_that_is_no_object() -> None:
    with pytest.raises(InvalidRequestError, match="JSON object"):
        CLIENT.parse_request(["x"])  # type: ignore[arg-type]  # what a client may send


def test_media() -> None:
    assert user({"type": "image_url", "image_url": "data:image/PNG;base64,cG5n"}).parts == (
        ImagePart(data=b"png", media_type="image/png"),
    )
    assert user({"type": "image_url", "image_url": {"url": "https://x.test/a", "detail": "low"}}).parts == (
        ImagePart(url="https://x.test/a", detail="low"),
    )
    assert user({"type": "input_audio", "input_audio": {"data": "d2F2", "format": "wav"}}).parts == (
        AudioPart(data=b"wav", format="wav"),
    )
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,cGRm"}
    assert user({"type": "file", "file": file}).parts == (
        FilePart(data=b"pdf", media_type="application/pdf", filename="a.pdf"),
    )
    assert user({"type": "file", "file": {"file_id": "f1"}}).parts == (FilePart(file_id="f1"),)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/a",
        "file:///etc/passwd",
        "data:image/png,abc",
        "data:text/html;base64,YQ==",
        "data:image/png;base64,%",
        "",
    ],
)
def test_an_image_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        user({"type": "image_url", "image_url": {"url": url}})
    assert caught.value.param == "messages[0].content[0].image_url.url"


def test_legacy_functions() -> None:
    request = parse(
        functions=[{"name": "f", "parameters": {}}],
        function_call={"name": "f"},
        messages=[
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
        ],
    )
    assert request.tools == (ToolDefinition(name="f"),)
    assert request.tool_choice == NamedTool(name="f")
    assert request.messages[1].tool_call_id == request.messages[0].tool_calls[0].id


def test_json_modes() -> None:
    assert parse(response_format={"type": "json_object"}).response_format == JsonFormat()
    assert parse(response_format={"type": "text"}).response_format is None


def test_marks_of_a_part_stay_with_it_and_a_cache_mark_is_anthropics_too() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    given = [{"type": "text", "text": "x", **mark}, {"type": "text", "text": "x", "y": 1}]
    marked, other = parse_message({"role": "user", "content": given}).parts
    assert isinstance(marked, TextPart) and isinstance(other, TextPart)
    assert marked.provider_metadata == {"openai.chat": mark, "anthropic": mark}
    assert other.provider_metadata == {"openai.chat": {"y": 1}}


def test_a_whole_answer_may_come_back_as_it_was() -> None:
    message = {
        "role": "assistant",
        "content": "",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "a", "type": "function", "index": 0, "function": {"name": "f", "arguments": {"x": 1}}},
        ],
    }
    assert parse_message(message).parts == (
        ReasoningPart(text="hm"),
        ToolCall(id="a", name="f", arguments='{"x":1}'),
    )


# --- answers ---


def test_an_answer_in_openais_shape() -> None:
    response = ChatResponse(
        id="upstream",
        model="real-model",
        created=1789000000,
        choices=(
            Choice(
                parts=(
                    ReasoningPart(text="hm"),
                    TextPart(text="hi"),
                    ToolCall(id="a", name="f", arguments="{}"),
                ),
                finish_reason="tool_calls",
            ),
        ),
        usage=Usage(input_tokens=10, output_tokens=5, cache_read_tokens=4, reasoning_tokens=2),
    )
    assert CLIENT.encode_response(response, request_id="r1", model="alias") == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 1789000000,
        "model": "alias",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "hi",
                    "refusal": None,
                    "reasoning_content": "hm",
                    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }


def test_usage_that_was_not_reported_is_absent_and_not_zero() -> None:
    response = ChatResponse(id=None, model="m", choices=(Choice(parts=(TextPart(text="x"),)),))
    assert "usage" not in CLIENT.encode_response(response, request_id="r", model="m")


EVENTS: list[StreamEvent] = [
    ResponseStarted(id="up", model="real", created=1789000000),
    ReasoningDelta(text="hm"),
    TextDelta(text='h"\u2028ü'),
    RefusalDelta(text="no"),
    ToolCallStarted(index=0, id="a", name="f"),
    ToolCallDelta(index=0, arguments='{"x":'),
    ToolCallDelta(index=0, arguments="1}"),
    Finished(reason="tool_calls"),
    UsageReported(usage=Usage(input_tokens=1, output_tokens=2)),
]


def chunks_of(body: bytes) -> list[Any]:
    lines = body.decode().split("\n\n")
    assert lines[-1] == ""
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines[:-1]]


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_in_openais_shape(include_usage: bool) -> None:
    encoder = CLIENT.stream_encoder(request_id="r1", model="alias", include_usage=include_usage)
    chunks = chunks_of(b"".join(encoder.encode(event) for event in EVENTS) + encoder.finish())
    assert chunks.pop() == "[DONE]"
    assert {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        ("chatcmpl-r1", 1789000000, "alias", "chat.completion.chunk")
    }
    if include_usage:
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        assert all(chunk["usage"] is None for chunk in chunks)
    else:
        assert not any("usage" in chunk for chunk in chunks)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"reasoning_content": "hm"},
        {"content": 'h"\u2028ü'},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 7 + ["tool_calls"]


def test_nothing_is_written_before_the_first_delta() -> None:
    encoder = CLIENT.stream_encoder(request_id="r", model="m", include_usage=False)
    assert encoder.encode(ResponseStarted(id="x", model="m")) == b""


def test_a_broken_stream_ends_with_an_error_and_no_done() -> None:
    encoder = CLIENT.stream_encoder(request_id="r", model="m", include_usage=True)
    (event,) = chunks_of(encoder.error(UpstreamProtocolError("acme cut the stream short"), request_id="r"))
    assert event == {
        "error": {
            "message": "acme cut the stream short",
            "type": "api_error",
            "param": None,
            "code": "upstream_protocol_error",
        }
    }


# --- through both sides ---

# Requests are large, and shrinking one takes minutes: a failing one is shown as it was found.
quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
texts = st.text('ab {"\\\n\r\t\u2028ü\U0001f600', max_size=8)
some_text = st.text('ab{"\\\u2028ü\U0001f600', min_size=1, max_size=8)
text_parts = st.builds(TextPart, text=some_text)
user_parts = st.one_of(
    text_parts,
    st.builds(
        ImagePart, data=st.binary(min_size=1, max_size=8), media_type=st.sampled_from(["image/png", "image/gif"])
    ),
    st.builds(ImagePart, url=st.just("https://x.test/a.png"), detail=st.sampled_from([None, "low"])),
    st.builds(AudioPart, data=st.binary(min_size=1, max_size=8), format=st.just("wav")),
    st.builds(FilePart, file_id=some_text),
)
calls = st.builds(ToolCall, id=some_text, name=some_text, arguments=texts.map(lambda text: json.dumps({"a": text})))
assistants = st.builds(
    lambda thought, text, refusal, tools: (*thought, *text, *refusal, *tools),
    st.lists(st.builds(ReasoningPart, text=some_text), max_size=1),
    st.lists(text_parts, max_size=2),
    st.lists(st.builds(RefusalPart, text=some_text), max_size=1),
    st.lists(calls, min_size=1, max_size=3),
)
messages = st.one_of(
    st.builds(Message, role=st.just("system"), parts=st.tuples(text_parts)),
    st.builds(Message, role=st.just("user"), parts=st.lists(user_parts, min_size=1, max_size=3).map(tuple)),
    st.builds(Message, role=st.just("assistant"), parts=assistants),
    st.builds(Message, role=st.just("tool"), parts=st.tuples(text_parts), tool_call_id=some_text),
)
requests = st.builds(
    ChatRequest,
    messages=st.lists(messages, min_size=1, max_size=4).map(tuple),
    tools=st.lists(
        st.builds(ToolDefinition, name=some_text, parameters=st.just({"type": "object"})), min_size=1, max_size=2
    ).map(tuple),
    tool_choice=st.one_of(st.sampled_from([None, "auto", "none", "required"]), st.builds(NamedTool, name=some_text)),
    response_format=st.one_of(
        st.none(), st.just(JsonFormat()), st.builds(JsonSchemaFormat, name=st.just("n"), schema=st.just({"a": 1}))
    ),
    max_output_tokens=st.one_of(st.none(), st.integers(1, 1000)),
    temperature=st.one_of(st.none(), st.floats(0, 2)),
    stop=st.lists(some_text, max_size=3).map(tuple),
    seed=st.one_of(st.none(), st.integers(-(2**40), 2**40)),
    include_usage=st.just(False),
    dialect=st.just("openai.chat"),
)


@given(requests)
@quick
def test_a_request_survives_the_way_to_the_wire_and_back(request_: ChatRequest) -> None:
    wire = PROVIDER.build_request(request_, TARGET, stream=False)
    assert CLIENT.parse_request(read_json(wire.body)).request == request_


@quick
@given(assistants, st.sampled_from(["stop", "length", "content_filter", "tool_calls"]))
def test_an_answer_survives_the_way_to_the_wire_and_back(parts: tuple[Any, ...], finish: Any) -> None:
    texts_joined = "".join(part.text for part in parts if isinstance(part, TextPart))
    whole = tuple(part for part in parts if not isinstance(part, TextPart))
    place = next((n for n, part in enumerate(parts) if isinstance(part, TextPart)), 0)
    parts = (*whole[:place], TextPart(text=texts_joined), *whole[place:]) if texts_joined else whole
    choice = Choice(parts=parts, finish_reason="tool_calls" if finish == "stop" else finish, raw_finish_reason=None)
    body = CLIENT.encode_response(
        ChatResponse(id="x", model="m", choices=(choice,), created=5), request_id="x", model="m"
    )
    read = PROVIDER.parse_response(WireResponse(status=200, headers={}, body=dump_json(body)), TARGET)
    assert read.choices[0].parts == choice.parts
    assert read.choices[0].finish_reason == choice.finish_reason


def test_a_stream_survives_the_way_to_the_wire_and_back() -> None:
    encoder = CLIENT.stream_encoder(request_id="x", model="real", include_usage=True)
    body = b"".join(encoder.encode(event) for event in EVENTS) + encoder.finish()
    decoder = PROVIDER.stream_decoder(TARGET)
    events = decoder.feed(body) + decoder.close()
    started, *others = events
    assert started == ResponseStarted(id="chatcmpl-x", model="real", created=1789000000)
    usage = others.pop()
    assert isinstance(usage, UsageReported) and usage.usage.total_tokens == 3
    assert others == [*EVENTS[1:-2], Finished(reason="tool_calls", raw_reason="tool_calls")]


def test_another_vendors_signatures_come_back_to_it_alone() -> None:
    signature = {"anthropic.messages": {"signature": "abc"}}
    response = ChatResponse(
        id=None,
        model="claude",
        choices=(
            Choice(
                parts=(
                    ReasoningPart(text="hm", provider_metadata=signature),
                    ToolCall(id="a", name="f", arguments="{}", provider_metadata=signature),
                )
            ),
        ),
    )
    message = CLIENT.encode_response(response, request_id="r", model="m")["choices"][0]["message"]
    back = parse_message(message)
    assert back.parts == response.parts
    wire = read_json(PROVIDER.build_request(ChatRequest(messages=(back,)), TARGET, stream=False).body)
    assert "abc" not in json.dumps(wire)


def test_a_clients_made_up_metadata_is_left_behind() -> None:
    details = [{"format": "llmhub-v1", "text": "x", "metadata": {"openai.chat": {"a": 1}, "evil": {}, "stub": 3}}]
    (part,) = parse_message({"role": "assistant", "content": None, "reasoning_details": details}).parts
    assert part == ReasoningPart(text="x")
