"""OpenAI's chat dialect at its edges: odd fields from clients, odd answers from providers. Synthetic."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from adapters.errors import (
    AuthenticationError,
    InvalidRequestError,
    LLMError,
    PermissionDeniedError,
    QuotaExceededError,
    UnsupportedFeatureError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from adapters.openai_chat import OpenAIChatCodec
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.openai_errors import encode_error, error_in_body
from adapters.openai_usage import encode_usage, merge_usage, parse_usage, read_money
from adapters.types import (
    AudioPart,
    ChatRequest,
    ChatResponse,
    EmbeddingRequest,
    FilePart,
    ImagePart,
    ImageRequest,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    NamedTool,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    TextPart,
    ToolCall,
    ToolCallStarted,
    ToolDefinition,
    Usage,
    UsageReported,
    WireResponse,
)
from tests.adapters.replay import decode, finished, text_of
from tests.adapters.test_openai_chat import HELLO, WEATHER, assistant, build, sent, target
from tests.adapters.test_openai_errors import classify, openai
from tests.adapters.test_passthrough import TARGET, chunk

CODEC = OpenAIChatCodec()
CLIENT = OpenAIChatClientCodec()
OWN = "openai.chat"


def parse(**fields: Any) -> ChatRequest:
    return CLIENT.parse_request({"messages": [{"role": "user", "content": "hi"}], **fields}).request


def user(*content: Any) -> Message:
    (message,) = CLIENT.parse_request({"messages": [{"role": "user", "content": list(content)}]}).request.messages
    return message


def reply(body: Any) -> WireResponse:
    return WireResponse(status=200, headers={}, body=json.dumps(body).encode())


def read(message: Any, **fields: Any) -> ChatResponse:
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return CODEC.parse_response(reply({"choices": choices, **fields}), target())


# --- what clients send ---------------------------------------------------------------------------------------------


def test_older_and_other_ways_of_saying_the_same_are_read() -> None:
    assert parse(tool_choice="any").tool_choice == "required"
    assert parse(function_call={"name": "f"}).tool_choice == NamedTool(name="f")
    assert parse(tool_choice={"type": "custom", "custom": {}}).extra["tool_choice"]["type"] == "custom"
    assert parse(response_format={"type": "text"}).response_format is None
    assert parse(response_format={"type": "json_object"}).response_format == JsonFormat()
    shaped = parse(response_format={"type": "json_object", "schema": {"a": 1}}).response_format
    assert shaped == JsonSchemaFormat(name="response", schema={"a": 1})
    assert parse(stop="x").stop == ("x",) and parse(logit_bias={"5": 1}).logit_bias == {"5": 1}
    assert parse(metadata={"a": "b"}).metadata == {"a": "b"}
    assert parse(reasoning={"effort": "low"}).reasoning_effort == "low"
    kept = parse(reasoning={"effort": "low", "exclude": True}, reasoning_effort="high")
    assert (kept.reasoning_effort, kept.extra) == ("high", {"reasoning": {"effort": "low", "exclude": True}})
    assert parse(tools=[{"type": "custom", "custom": {"name": "g"}}]).extra["tools"]
    assert parse(functions=[{"name": "f"}]).tools == (ToolDefinition(name="f"),)
    assert parse(stream_options={"include_usage": True, "x": 1}).extra == {"stream_options": {"x": 1}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": 5}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        ({"stop": 5}, "stop"),
        ({"stop": ["x"] * 65}, "stop"),
        ({"temperature": float("nan")}, "temperature"),
        ({"user": 5}, "user"),
        ({"user": "x" * 513}, "user"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "x"}]}]}, None),
        ({"n": 1.5}, "n"),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": "https://a.b/c"}]}]},
            "messages[0].content[0].type",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(fields: dict[str, Any], param: str | None) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse(**fields)
    assert param is None or refused.value.param == param


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text"},
        {"type": "video"},
        {"type": "image_url", "image_url": {"url": "data:text/plain;base64,eA=="}},
        {"type": "image_url", "image_url": {"url": "ftp://a.b/c"}},
        {"type": "file", "file": {}},
        {"type": "file", "file": {"file_data": "data:application/pdf,plain"}},
        {"type": "file", "file": {"file_data": "%"}},
        {"type": "input_audio", "input_audio": {"data": "%", "format": "wav"}},
    ],
)
def test_a_damaged_part_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        user(part)


def test_parts_of_every_kind_are_read() -> None:
    pdf = base64.b64encode(b"%PDF").decode()
    parts = user(
        "bare",
        {"type": "refusal", "refusal": "no"},
        {"type": "image_url", "image_url": "https://example.org/a.png"},
        {"type": "input_audio", "input_audio": {"data": pdf, "format": "wav"}},
        {"type": "file", "file": {"file_id": "f1"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{pdf}", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "https://example.org/a.pdf"}},
        {"type": "file", "file": {"file_data": pdf}},
    ).parts
    assert parts == (
        TextPart(text="bare"),
        RefusalPart(text="no"),
        ImagePart(url="https://example.org/a.png"),
        AudioPart(data=b"%PDF", format="wav"),
        FilePart(file_id="f1"),
        FilePart(media_type="application/pdf", data=b"%PDF", filename="a.pdf"),
        FilePart(url="https://example.org/a.pdf"),
        FilePart(data=b"%PDF"),
    )


def test_a_whole_turn_comes_back_from_a_client() -> None:
    details = [{"format": "llmhub-v1", "text": None, "metadata": {"anthropic": {"signature": "s"}, "other": 1}}]
    turn = {
        "role": "assistant",
        "content": "",
        "refusal": "no",
        "annotations": [],
        "reasoning_details": details,
        "tool_calls": [
            {"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}, "extra_content": {"google": {"x": 1}}},
            {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "free"}},
            {"id": "c3", "function": {"name": "h"}, "extra_content": {"llmhub-v1": {"gemini": {"y": 1}}}},
            {"id": "c4", "function": {"name": "h"}, "extra_content": {"llmhub-v1": 5}},
        ],
    }
    older = {"role": "assistant", "function_call": {"name": "old"}, "name": "Ann", "brand_new": 1}
    told = {"role": "function", "name": "old", "content": "x"}
    marked = {"role": "tool", "tool_call_id": "c1", "content": "x", "cache_control": {"type": "ephemeral"}}
    first, second, third, fourth = parse(messages=[turn, older, told, marked]).messages
    thought, refusal, call, custom, signed, plain = first.parts
    assert thought == ReasoningPart(text="", provider_metadata={"anthropic": {"signature": "s"}})
    assert refusal == RefusalPart(text="no")
    assert isinstance(call, ToolCall) and call.arguments == '{"a":1}'
    assert call.provider_metadata == {OWN: {"extra_content": {"google": {"x": 1}}}}
    assert isinstance(custom, ToolCall) and custom.provider_metadata == {OWN: {"type": "custom"}}
    assert isinstance(signed, ToolCall) and signed.provider_metadata == {"gemini": {"y": 1}}
    assert isinstance(plain, ToolCall) and plain.provider_metadata == {}
    assert (second.name, second.provider_metadata) == ("Ann", {OWN: {"brand_new": 1}})
    assert third.tool_call_id == second.tool_calls[0].id
    mark = {"cache_control": {"type": "ephemeral"}}
    assert fourth.provider_metadata == {OWN: mark, "anthropic": mark}
    plain_thought = parse(messages=[{"role": "assistant", "content": "a", "reasoning": "hm"}]).messages[0]
    assert plain_thought.parts == (ReasoningPart(text="hm"), TextPart(text="a"))


# --- what providers get --------------------------------------------------------------------------------------------


def test_each_part_of_a_turn_has_its_form() -> None:
    image, sound = ImagePart(url="https://a.b/c.png", detail="low"), AudioPart(data=b"x", format="wav")
    messages = (
        Message(role="system", parts=(TextPart(text="s"),), name="rules"),
        assistant(RefusalPart(text="no")),
        assistant(ReasoningPart(text="hm")),
        assistant(ToolCall(id="c", name="f", arguments="")),
        Message(role="tool", tool_call_id="c", parts=(image,)),
        Message(role="user", parts=(FilePart(file_id="f1"), FilePart(data=b"x", media_type="application/pdf"), sound)),
        assistant(ToolCall(id="d", name="g", arguments="free", provider_metadata={OWN: {"type": "custom"}})),
        Message(role="tool", tool_call_id="d", parts=(TextPart(text="21"), sound)),
    )
    wire = sent(ChatRequest(messages=messages), target("openai_compatible", "m"))["messages"]
    assert wire[0]["name"] == "rules"
    assert wire[1] == {"role": "assistant", "content": None, "refusal": "no"}
    assert wire[2]["content"] == ""
    assert wire[3]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert wire[4]["content"] == "The result is attached below." and wire[5]["content"][1]["type"] == "image_url"
    assert [part["type"] for part in wire[6]["content"]] == ["file", "file", "input_audio"]
    assert wire[6]["content"][1]["file"]["filename"] == "file.pdf"
    assert wire[7]["tool_calls"][0]["custom"] == {"name": "g", "input": "free"}
    assert wire[9]["content"][1]["type"] == "input_audio"
    marked = Message(role="user", parts=(TextPart(text="x"),), provider_metadata={OWN: {"brand_new": 1}})
    assert sent(ChatRequest(messages=(marked,)))["messages"][0]["brand_new"] == 1
    refused = Message(role="user", parts=(RefusalPart(text="no"),))
    assert sent(ChatRequest(messages=(refused,)))["messages"][0]["content"] == [{"type": "refusal", "refusal": "no"}]
    wanted = JsonSchemaFormat(name="s", schema={}, strict=True, description="d")
    shaped = sent(ChatRequest(messages=HELLO, response_format=wanted))["response_format"]["json_schema"]
    assert shaped == {"name": "s", "schema": {}, "strict": True, "description": "d"}
    assert sent(ChatRequest(messages=HELLO, response_format=JsonFormat()))["response_format"] == {"type": "json_object"}


def test_details_and_extra_content_go_back_to_who_wrote_them() -> None:
    thought = ReasoningPart(text="hm", provider_metadata={OWN: {"reasoning_details": [{"type": "x"}]}})
    call = ToolCall(id="c", name="f", arguments="{}", provider_metadata={OWN: {"extra_content": {"google": 1}}})
    wire = sent(
        ChatRequest(messages=(assistant(thought, call), assistant(ReasoningPart(text="a")))), target("openrouter")
    )
    assert wire["messages"][0]["reasoning_details"] == [{"type": "x"}]
    assert "extra_content" not in wire["messages"][0]["tool_calls"][0]
    kept = sent(ChatRequest(messages=(assistant(call),)), target("openai_compatible"))["messages"][0]["tool_calls"][0]
    assert kept["extra_content"] == {"google": 1}
    short = sent(ChatRequest(messages=(assistant(call),)), target("mistral"))["messages"][0]["tool_calls"][0]["id"]
    assert len(short) == 9 and short.isalnum()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("openai_compatible", {"tools": (WEATHER,), "profile": {"supports_tools": False}}),
        ("deepseek", {"tools": (WEATHER,), "tool_choice": "required", "model": "deepseek-reasoner"}),
        ("deepseek", {"response_format": JsonSchemaFormat(name="s", schema={})}),
        ("openai_compatible", {"response_format": JsonFormat(), "profile": {"supports_json_object": False}}),
        ("groq", {"n": 2}),
        ("deepseek", {"extra": {"x": 1}, "dialect": "ollama.chat"}),
    ],
)
def test_what_a_server_does_not_take_is_refused_before_the_call(kind: str, settings: dict[str, Any]) -> None:
    to = target(kind, settings.pop("model", "m"), profile=settings.pop("profile", None))
    with pytest.raises(UnsupportedFeatureError):
        build(ChatRequest(messages=HELLO, **settings), to)


@pytest.mark.parametrize(
    "part",
    [ImagePart(url="https://a.b/c"), AudioPart(data=b"x", format="wav"), FilePart(url="https://a.b/c"), "a call"],
)
def test_a_part_that_has_no_place_is_refused(part: Any) -> None:
    part = ToolCall(id="c", name="f", arguments="{}") if part == "a call" else part
    with pytest.raises(UnsupportedFeatureError):
        build(ChatRequest(messages=(Message(role="user", parts=(part, TextPart(text="x"))),)), target("lmstudio"))


def test_a_named_tool_and_parallel_calls_fit_the_server() -> None:
    other = ToolDefinition(name="other", strict=True, description="d")
    request = ChatRequest(messages=HELLO, tools=(WEATHER, other), tool_choice=NamedTool(name="other"))
    body = sent(request, target("lmstudio"))
    assert ([tool["function"]["name"] for tool in body["tools"]], body["tool_choice"]) == (["other"], "required")
    request = ChatRequest(messages=HELLO, tools=(WEATHER,), parallel_tool_calls=False)
    assert sent(request)["parallel_tool_calls"] is False
    built = build(request, target("openai_compatible", "m", profile={"supports_parallel_tools": False}))
    assert "parallel_tool_calls" not in json.loads(built.body)
    assert any("parallel_tool_calls" in warning for warning in built.warnings)


def test_reasoning_is_asked_for_in_the_servers_own_way() -> None:
    def asked(kind: str, effort: str, model: str = "m") -> dict[str, Any]:
        return sent(ChatRequest(messages=HELLO, reasoning_effort=effort), target(kind, model))

    assert asked("openrouter", "low")["reasoning"] == {"effort": "low"}
    assert asked("deepseek", "high")["thinking"] == {"type": "enabled"}
    assert asked("deepseek", "none")["thinking"] == {"type": "disabled"}
    assert asked("together", "low")["reasoning_effort"] == "low"
    assert "reasoning_effort" not in asked("openai", "low", "gpt-4o")


@pytest.mark.parametrize("auth_type", ["bearer", "api_key", "none"])
def test_a_key_goes_where_its_type_says(auth_type: Any) -> None:
    headers = build(ChatRequest(messages=HELLO), target("openai_compatible", "m", auth_type=auth_type)).headers
    assert headers.get("authorization") == ("Bearer sk-test" if auth_type == "bearer" else None)
    assert headers.get("api-key") == ("sk-test" if auth_type == "api_key" else None)


# --- what providers answer -----------------------------------------------------------------------------------------


def test_content_of_every_shape_is_read() -> None:
    mixed = ["a", {"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "b"}, {"type": "x"}, 5]
    answer = read({"content": mixed})
    assert answer.text == "ab" and answer.parts[0] == ReasoningPart(text="hm")
    assert read({"content": 5}).text == ""
    png = base64.b64encode(b"\x89PNG").decode()
    images = [{"image_url": {"url": f"data:image/png;base64,{png}"}}, {"image_url": {"url": "https://a.b/c"}}, 5, {}]
    choices = [5, {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]
    assert CODEC.parse_response(reply({"choices": choices}), target()).text == "a"
    with pytest.raises(UpstreamProtocolError) as unread:
        CODEC.parse_response(WireResponse(status=200, headers={}, body=b"<html>"), target())
    assert unread.value.upstream_status == 200
    media = read({"content": "x", "images": images, "audio": {"data": png, "id": "a1", "transcript": "t"}}).parts
    assert media[1:3] == (ImagePart(media_type="image/png", data=b"\x89PNG"), ImagePart(url="https://a.b/c"))
    assert media[3] == AudioPart(
        data=b"\x89PNG", format="", provider_metadata={OWN: {"audio": {"id": "a1", "transcript": "t"}}}
    )
    assert len(read({"content": "x", "audio": {"data": "%"}}).parts) == 1
    assert len(read({"content": "x", "images": [{"image_url": {"url": "data:image/png,plain"}}]}).parts) == 2


@pytest.mark.parametrize("kind", ["openai_compatible", "openrouter"])
def test_thinking_told_in_details_alone_is_read(kind: str) -> None:
    message = {"content": "x", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}
    body = reply({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    thought, _ = CODEC.parse_response(body, target(kind, "x/y")).parts
    assert isinstance(thought, ReasoningPart) and thought.text == "hm"


@pytest.mark.parametrize("body", [[], {}, {"choices": []}])
def test_an_answer_without_a_choice_is_an_error(body: Any) -> None:
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_response(reply(body), target())


def streamed(*chunks: Any, end: bytes = b"data: [DONE]\n\n") -> Any:
    body = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks) + end
    return decode(CODEC.stream_decoder(target()), [body])


def test_a_whole_answer_in_a_streams_place_becomes_its_events() -> None:
    message = {
        "content": "a",
        "refusal": "no",
        "reasoning_content": "hm",
        "images": [{"image_url": {"url": "https://a.b/c"}}],
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
    }
    body = {"id": "1", "choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
    events, error = decode(CODEC.stream_decoder(target()), [b" ", json.dumps(body).encode()])
    assert error is None and text_of(events) == "a" and finished(events).reason == "tool_calls"
    kinds = [type(event) for event in events]
    assert {RefusalDelta, ReasoningDelta, ToolCallStarted, UsageReported} <= set(kinds)
    del body["usage"]
    events, _ = decode(CODEC.stream_decoder(target()), [json.dumps(body).encode()])
    assert not any(isinstance(event, UsageReported) for event in events)


def test_chunks_of_the_wrong_shape_are_errors_and_blank_ones_nothing() -> None:
    events, error = streamed(chunk("stop"), end=b"data: \n\ndata:  [DONE]\n\n")
    assert error is None and finished(events).reason == "stop"
    for odd in ([1], 5):
        _, error = streamed(odd)
        assert isinstance(error, UpstreamProtocolError)
    _, error = streamed({"choices": [5, {"index": 0, "delta": {"content": "a"}, "finish_reason": "abort"}]})
    assert isinstance(error, LLMError)
    huge = decode(CODEC.stream_decoder(target()), [b"{" + b" " * (17 * 1024 * 1024), b" " * (17 * 1024 * 1024)])
    assert isinstance(huge[1], UpstreamProtocolError)


def test_a_list_of_models_takes_every_shape() -> None:
    rows: list[Any] = [
        {"id": "a", "capabilities": {"completion_chat": True, "function_calling": False}, "created": "x"},
        {"id": "b", "llmhub": {"capabilities": {"tools": "yes", "vision": "no", "json": "unknown"}}},
        {"id": "c", "providers": [{"status": "live", "context_length": 9, "supports_tools": True}, 5]},
        {"name": "no id"},
        5,
    ]
    page = CODEC.parse_list_models(reply({"models": rows}), target())
    assert [model.id for model in page.models] == ["a", "b", "c"]
    assert page.models[1].capabilities == {"tools": True, "vision": False}
    assert (page.models[2].context_length, page.models[2].capabilities) == (9, {"tools": True})
    assert CODEC.parse_list_models(reply(rows), target()).models == page.models
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_list_models(reply({"data": 5}), target())


def test_usage_of_every_shape_is_read_and_never_summed() -> None:
    assert read_money(True) is None and read_money("x") is None and read_money("-1") is None
    assert read_money("1e-99") is None and read_money(0.5) == "0.5"
    spent = parse_usage(
        {"prompt_tokens": 1, "cost": 0.1, "is_byok": True, "cost_details": {"upstream_inference_cost": "x"}}
    )
    assert spent.provider_cost_usd == "0.1"
    own = parse_usage({"is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}})
    assert own.provider_cost_usd == "0.5"
    assert parse_usage({"prompt_tokens": -1, "completion_tokens": 2.0}).output_tokens == 2
    cached = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}, "cached_tokens": 5}
    assert parse_usage(cached).cache_read_tokens == 4
    merged = merge_usage({"a": 1, "d": {"x": 1}, "e": 5}, {"a": None, "d": {"y": 2}, "e": {"z": 1}})
    assert merged == {"a": 1, "d": {"x": 1, "y": 2}, "e": {"z": 1}}
    written = encode_usage(Usage(input_tokens=1, output_tokens=1, reasoning_tokens=1, provider_cost_usd="0.5"))
    assert written is not None and written["cost"] == 0.5
    for place in ({"x_groq": {"usage": {"prompt_tokens": 3}}}, {"choices": [{"usage": {"prompt_tokens": 3}}]}):
        events, _ = streamed(place | {"id": "1"}, chunk("stop"))
        assert [event.usage.input_tokens for event in events if isinstance(event, UsageReported)] == [3]
    for nowhere in ({"x_groq": {"usage": {}}}, {"choices": [{"usage": {}}]}, {"x_groq": 5, "choices": [5]}):
        events, _ = streamed(nowhere | {"id": "1"}, chunk("stop"))
        assert not any(isinstance(event, UsageReported) for event in events)


# --- errors --------------------------------------------------------------------------------------------------------


def test_statuses_and_bodies_at_the_edge_find_their_class() -> None:
    assert isinstance(classify(403, openai(code="invalid_api_key")), AuthenticationError)
    assert isinstance(classify(403, openai(code="unsupported_country_region_territory")), PermissionDeniedError)
    assert isinstance(classify(501), InvalidRequestError)
    assert isinstance(classify(498), UpstreamUnavailableError)
    told = error_in_body({"object": "error", "message": "m", "code": 40303}, TARGET)
    assert isinstance(told, UpstreamProtocolError)
    assert error_in_body({"object": "list"}, TARGET) is None and error_in_body([], TARGET) is None


def test_the_hubs_own_and_a_providers_empty_purse_read_alike() -> None:
    spent = InvalidRequestError("The budget is spent.")
    spent.code, spent.status = "insufficient_quota", 429
    for error in (QuotaExceededError("p has no money"), LLMError("x"), PermissionDeniedError("x")):
        assert encode_error(error, request_id="r")["error"]["type"] in ("insufficient_quota", "api_error")

    class Spent(LLMError):
        code = "insufficient_quota"

    assert encode_error(Spent("x"), request_id="r")["error"]["type"] == "insufficient_quota"


def test_requests_for_vectors_and_images_have_their_own_addresses() -> None:
    assert CODEC.build_embeddings(EmbeddingRequest(inputs=("a",)), target()).url.endswith("/v1/embeddings")
    assert CODEC.build_images(ImageRequest(prompt="a"), target()).url.endswith("/v1/images/generations")
