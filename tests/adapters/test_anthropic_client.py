"""The hub's own /v1/messages: requests read, answers, streams and errors written, Anthropic's SDK reading."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.anthropic import AnthropicCodec
from adapters.anthropic_client import AnthropicClientCodec, with_betas
from adapters.errors import (
    InvalidRequestError,
)
from adapters.kinds import profile_for
from adapters.types import (
    ChatRequest,
    ChatResponse,
    Choice,
    FilePart,
    ImagePart,
    JsonSchemaFormat,
    Message,
    NamedTool,
    Part,
    ReasoningPart,
    Target,
    TextPart,
    ToolCall,
    ToolDefinition,
    Usage,
    WireResponse,
)

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
        extra={"mcp_servers": [], "field_of_tomorrow": 1, "tools": [body["tools"][1]]},  # type: ignore[index]  # a list of tools
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
