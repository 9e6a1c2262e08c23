"""The OpenAI chat codec toward providers: what it sends and what it reads. Bodies here are synthetic, after the
vendors' documents; recorded ones are in test_openai_recordings.py."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.errors import (
    ConfigurationError,
    InvalidRequestError,
    LLMError,
    UnsupportedFeatureError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from adapters.kinds import profile_for
from adapters.openai_chat import OpenAIChatCodec, needs_responses_api
from adapters.types import (
    AudioPart,
    ChatRequest,
    EmbeddingRequest,
    FilePart,
    Finished,
    ImagePart,
    ImageRequest,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    NamedTool,
    ReasoningDelta,
    ReasoningPart,
    RefusalPart,
    StreamEvent,
    Target,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallStarted,
    ToolDefinition,
    UsageReported,
    WireRequest,
    WireResponse,
)
from adapters.wire_json import dump_json, read_json

CODEC = OpenAIChatCodec()
HELLO = (Message(role="user", parts=(TextPart(text="hello"),)),)
WEATHER = ToolDefinition(name="weather", parameters={"type": "object", "properties": {}})


def target(kind: str = "openai", model: str = "gpt-4o", **fields: Any) -> Target:
    override = fields.pop("profile", None)
    fields.setdefault("api_key", "sk-test")
    fields.setdefault("base_url", "https://api.test/v1")
    return Target(kind=kind, model=model, profile=profile_for(kind, model, override), **fields)


def build(request: ChatRequest, to: Target | None = None, *, stream: bool = False) -> WireRequest:
    return CODEC.build_request(request, to or target(), stream=stream)


def sent(request: ChatRequest, to: Target | None = None, *, stream: bool = False) -> dict[str, Any]:
    return read_json(build(request, to, stream=stream).body)


def assistant(*parts: Any) -> Message:
    return Message(role="assistant", parts=parts)


# --- the request ---


def test_only_what_was_asked_is_sent() -> None:
    assert sent(ChatRequest(messages=HELLO)) == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hello"}],
    }


def test_a_stream_asks_for_its_usage() -> None:
    body = sent(ChatRequest(messages=HELLO, include_usage=False), stream=True)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}


def test_mistral_gets_no_stream_options_and_its_own_seed() -> None:
    body = sent(ChatRequest(messages=HELLO, seed=7, user="u"), target("mistral", "mistral-large"), stream=True)
    assert body["random_seed"] == 7
    assert not {"stream_options", "seed", "user"} & body.keys()


@pytest.mark.parametrize(
    ("kind", "field"), [("openai", "max_completion_tokens"), ("mistral", "max_tokens"), ("vllm", "max_tokens")]
)
def test_the_profile_names_the_token_limit(kind: str, field: str) -> None:
    assert sent(ChatRequest(messages=HELLO, max_output_tokens=9), target(kind))[field] == 9


def test_a_reasoning_model_gets_a_developer_message_and_no_sampling() -> None:
    request = ChatRequest(
        messages=(Message(role="system", parts=(TextPart(text="be brief"),)), *HELLO), temperature=0.2, stop=("x",)
    )
    wire = build(request, target(model="gpt-5"))
    body = read_json(wire.body)
    assert body["messages"][0] == {"role": "developer", "content": "be brief"}
    assert not {"temperature", "stop"} & body.keys()
    assert [warning.split()[0] for warning in wire.warnings] == ["temperature", "stop"]


@pytest.mark.parametrize(("effort", "kept"), [("none", True), ("low", False), (None, False)])
def test_sampling_is_sent_only_while_a_model_does_not_reason(effort: str | None, kept: bool) -> None:
    body = sent(ChatRequest(messages=HELLO, temperature=0.2, reasoning_effort=effort), target(model="gpt-5.5"))
    assert ("temperature" in body) is kept


@pytest.mark.parametrize(
    ("kind", "model", "asked", "fields"),
    [
        ("openai", "gpt-5", "none", {"reasoning_effort": "minimal"}),
        ("openai", "gpt-5.6-sol", "max", {"reasoning_effort": "xhigh"}),
        ("openai", "gpt-4o", "high", {}),
        ("groq", "qwen/qwen3-32b", "medium", {"reasoning_effort": "default"}),
        ("openrouter", "x/y", "high", {"reasoning": {"effort": "high"}}),
        ("deepseek", "deepseek-v4-pro", "none", {"thinking": {"type": "disabled"}}),
        ("deepseek", "deepseek-v4-pro", "xhigh", {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
        ("vllm", "gpt-oss", "low", {"reasoning_effort": "low"}),
    ],
)
def test_reasoning_effort_in_each_servers_words(kind: str, model: str, asked: str, fields: dict[str, Any]) -> None:
    body = sent(ChatRequest(messages=HELLO, reasoning_effort=asked), target(kind, model))
    assert {key: body[key] for key in ("reasoning", "reasoning_effort", "thinking") if key in body} == fields


def test_tools_with_reasoning_belong_on_responses_for_newer_openai_models() -> None:
    request = ChatRequest(messages=HELLO, tools=(WEATHER,), reasoning_effort="low")
    assert needs_responses_api(request, target(model="gpt-5.6-sol"))
    with pytest.raises(UnsupportedFeatureError, match="/v1/responses"):
        build(request, target(model="gpt-5.6-sol"))
    assert not needs_responses_api(request, target(model="gpt-5"))
    unset = ChatRequest(messages=HELLO, tools=(WEATHER,))
    assert needs_responses_api(unset, target(model="gpt-6-astra"))
    assert sent(unset, target(model="gpt-5.6-sol"))["reasoning_effort"] == "none"


def test_tools_and_choices() -> None:
    request = ChatRequest(messages=HELLO, tools=(WEATHER,), tool_choice=NamedTool(name="weather"))
    body = sent(request)
    assert body["tools"] == [
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    ]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


def test_a_server_without_named_choice_is_offered_only_that_tool() -> None:
    request = ChatRequest(
        messages=HELLO, tools=(WEATHER, ToolDefinition(name="other")), tool_choice=NamedTool(name="weather")
    )
    body = sent(request, target("lmstudio", "qwen"))
    assert body["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather"]


def test_parallel_tool_calls_without_tools_is_not_sent() -> None:
    assert "parallel_tool_calls" not in sent(ChatRequest(messages=HELLO, parallel_tool_calls=False))


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        ("deepseek", ChatRequest(messages=HELLO, response_format=JsonSchemaFormat(name="x", schema={}))),
        ("groq", ChatRequest(messages=HELLO, n=2)),
        ("deepseek", ChatRequest(messages=(Message(role="user", parts=(ImagePart(url="https://x.test/a.png"),)),))),
        ("vllm", ChatRequest(messages=(Message(role="user", parts=(ImagePart(url="https://x.test/a.png"),)),))),
        ("openai", ChatRequest(messages=HELLO, extra={"thinking": {}}, dialect="anthropic.messages")),
        ("openai", ChatRequest(messages=(Message(role="user", parts=(FilePart(url="https://x.test/a"),)),))),
    ],
)
def test_what_cannot_be_carried_is_refused_before_any_network(kind: str, request_: ChatRequest) -> None:
    with pytest.raises(UnsupportedFeatureError):
        build(request_, target(kind, "m"))


def test_extra_goes_to_its_own_dialect_and_hides_nothing_of_ours() -> None:
    request = ChatRequest(messages=HELLO, extra={"store": False, "model": "evil"}, dialect="openai.chat")
    body = sent(request)
    assert body["store"] is False
    assert body["model"] == "gpt-4o"


def test_formats() -> None:
    assert sent(ChatRequest(messages=HELLO, response_format=JsonFormat()))["response_format"] == {"type": "json_object"}
    schema = JsonSchemaFormat(name="city", schema={"type": "object"}, strict=True)
    assert sent(ChatRequest(messages=HELLO, response_format=schema))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "city", "schema": {"type": "object"}, "strict": True},
    }


def test_media_parts() -> None:
    parts = (
        TextPart(text="look", provider_metadata={"openai.chat": {"cache_control": {"type": "ephemeral"}}, "x": {}}),
        ImagePart(data=b"png", media_type="image/png", detail="low"),
        AudioPart(data=b"wav", format="wav"),
        FilePart(data=b"pdf", media_type="application/pdf", filename="a.pdf"),
        FilePart(file_id="file-1"),
    )
    assert sent(ChatRequest(messages=(Message(role="user", parts=parts),)))["messages"][0]["content"] == [
        {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "d2F2", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,cGRm"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]


def test_an_image_in_a_tool_result_follows_all_results() -> None:
    calls = assistant(ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="f", arguments=""))
    image = ImagePart(data=b"png", media_type="image/png")
    results = (
        Message(role="tool", tool_call_id="a", parts=(image,)),
        Message(role="tool", tool_call_id="b", parts=(TextPart(text="2"),)),
    )
    messages = sent(ChatRequest(messages=(*HELLO, calls, *results)))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user"]
    assert messages[1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ],
    }
    assert messages[4]["content"][1]["type"] == "image_url"


def test_mistral_gets_ids_of_nine_characters_that_still_match() -> None:
    call = assistant(ToolCall(id="call_very_long", name="f", arguments="{}"))
    result = Message(role="tool", tool_call_id="call_very_long", parts=(TextPart(text="1"),))
    messages = sent(ChatRequest(messages=(*HELLO, call, result)), target("mistral", "m"))["messages"]
    sent_id = messages[1]["tool_calls"][0]["id"]
    assert len(sent_id) == 9 and sent_id.isalnum()
    assert messages[2]["tool_call_id"] == sent_id


def test_reasoning_goes_back_only_where_it_is_wanted() -> None:
    details = [{"type": "reasoning.encrypted", "data": "abc"}]
    thought = ReasoningPart(text="hm", provider_metadata={"openai.chat": {"reasoning_details": details}})
    messages = (*HELLO, assistant(thought, ToolCall(id="a", name="f", arguments="{}")))
    keys = {"reasoning_content", "reasoning_details"}
    to = {kind: sent(ChatRequest(messages=messages), target(kind, "m"))["messages"][1] for kind in FORWARD}
    assert {kind: {key: body[key] for key in keys & body.keys()} for kind, body in to.items()} == FORWARD | {
        "openrouter": {"reasoning_details": details}
    }


FORWARD: dict[str, dict[str, Any]] = {"openai": {}, "deepseek": {"reasoning_content": "hm"}, "openrouter": {}}


def test_a_refusal_goes_back() -> None:
    body = sent(ChatRequest(messages=(*HELLO, assistant(RefusalPart(text="no")), *HELLO)))
    assert body["messages"][1] == {"role": "assistant", "content": None, "refusal": "no"}


# --- address and headers ---


@pytest.mark.parametrize(
    ("auth", "header", "value"), [("bearer", "authorization", "Bearer sk-test"), ("api_key", "api-key", "sk-test")]
)
def test_the_key_travels_as_the_provider_wants_it(auth: Any, header: str, value: str) -> None:
    wire = build(ChatRequest(messages=HELLO), target(auth_type=auth))
    assert wire.headers[header] == value
    assert wire.url == "https://api.test/v1/chat/completions"
    assert "sk-test" not in repr(wire)


def test_no_key_means_no_header_or_a_clear_error() -> None:
    local = build(ChatRequest(messages=HELLO), target("vllm", "m", api_key=None))
    assert "authorization" not in local.headers
    with pytest.raises(ConfigurationError, match="no key"):
        build(ChatRequest(messages=HELLO), target(api_key=" "))


def test_custom_headers_never_touch_framing_or_the_key() -> None:
    custom = {"Host": "evil", "Content-Length": "0", "TE": "x", "Proxy-Authorization": "x", "Cookie": "c"}
    wire = build(
        ChatRequest(messages=HELLO), target(headers=custom | {"X-Title": "hub", "Authorization": "Bearer other"})
    )
    assert wire.headers["x-title"] == "hub"
    assert wire.headers["authorization"] == "Bearer sk-test"
    assert not {name.lower() for name in custom} & wire.headers.keys()


@pytest.mark.parametrize("fields", [{"api_key": "sk\n-x"}, {"api_key": "ключ"}, {"headers": {"X-A": "a\r\nb: c"}}])
def test_a_header_that_http_refuses_is_a_configuration_error_without_the_value(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(ChatRequest(messages=HELLO), target(**fields))
    assert "sk" not in str(caught.value) and "ключ" not in str(caught.value)


def test_the_path_goes_before_a_query_and_after_a_trailing_slash() -> None:
    wire = build(ChatRequest(messages=HELLO), target(base_url="https://h.test/openai/v1/?api-version=preview"))
    assert wire.url == "https://h.test/openai/v1/chat/completions?api-version=preview"


def test_a_value_without_json_form_is_the_clients_error() -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(InvalidRequestError):
        build(ChatRequest(messages=HELLO, extra={"x": deep}, dialect="openai.chat"))


# --- whole answers ---


def read(body: Any, to: Target | None = None) -> Any:
    return CODEC.parse_response(WireResponse(status=200, headers={}, body=dump_json(body)), to or target())


def answer(message: Any, finish: Any = "stop", **fields: Any) -> dict[str, Any]:
    return {"id": "x", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields}


def test_two_reasoning_fields_are_not_joined() -> None:
    response = read(answer({"content": "4", "reasoning": "two and two", "reasoning_content": "two and two"}))
    assert response.parts == (ReasoningPart(text="two and two"), TextPart(text="4"))


def test_a_named_tool_choice_ends_with_stop_and_is_reported_as_tool_calls() -> None:
    response = read(answer({"content": None, "tool_calls": [{"id": "a", "function": {"name": "f"}}]}))
    assert (response.finish_reason, response.choices[0].raw_finish_reason) == ("tool_calls", "stop")


def test_reasoning_left_out_of_the_completion_is_counted() -> None:
    usage = read(
        answer(
            {"content": "x"},
            usage={
                "prompt_tokens": 307,
                "completion_tokens": 26,
                "total_tokens": 560,
                "completion_tokens_details": {"reasoning_tokens": 227},
            },
        )
    ).usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (307, 253, 227)


def test_openrouters_cost_with_ones_own_key() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.0000001, "is_byok": True}
    usage["cost_details"] = {"upstream_inference_cost": 0.00002}
    assert read(answer({"content": "x"}, usage=usage)).usage.provider_cost_usd == "0.0000201"


def test_absurd_counts_are_not_reported_rather_than_believed() -> None:
    usage = read(answer({"content": "x"}, usage={"prompt_tokens": -3, "completion_tokens": 1e30})).usage
    assert not usage.reported


def test_blanks_before_the_body_are_padding() -> None:
    body = b"\n" * 3000 + dump_json(answer({"content": "x"}))
    response = CODEC.parse_response(WireResponse(status=200, headers={}, body=body), target())
    assert response.text == "x"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"null",
        b'"x"',
        b"[]",
        b"{}",
        b'{"choices":null}',
        b'{"choices":[]}',
        b'{"a":NaN}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
    ],
)
def test_a_body_that_is_no_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_response(WireResponse(status=200, headers={}, body=body), target())


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    body = rb'{"choices":[{"message":{"content":"a\ud83db \ud83d\ude00 \\ud83d"}}]}'
    response = CODEC.parse_response(WireResponse(status=200, headers={}, body=body), target())
    assert response.text == "a\ufffdb \U0001f600 \\ud83d"


def test_a_broken_off_answer_is_an_error() -> None:
    with pytest.raises(UpstreamUnavailableError):
        read(answer({"content": "x"}, "insufficient_system_resource"))
    with pytest.raises(UpstreamProtocolError):
        read(answer({"content": "x"}, "error"))


# --- streams ---


def stream(*chunks: Any, to: Target | None = None, done: bool = True) -> list[StreamEvent]:
    decoder = CODEC.stream_decoder(to or target())
    lines = [chunk if isinstance(chunk, bytes) else b"data: " + dump_json(chunk) + b"\n\n" for chunk in chunks]
    events = decoder.feed(b"".join(lines) + (b"data: [DONE]\n\n" if done else b""))
    return events + decoder.close()


def delta(finish: Any = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"id": "x", "model": "m", "choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def test_a_missing_finish_reason_is_inferred_at_done() -> None:
    tool = {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}
    assert stream(delta(content="x"))[-1] == Finished(reason="stop")
    assert stream(delta("", tool_calls=[tool]))[-1] == Finished(reason="tool_calls")


def test_a_stream_without_finish_and_done_was_cut() -> None:
    with pytest.raises(UpstreamProtocolError, match="cut"):
        stream(delta(content="x"), done=False)


def test_done_is_optional_after_a_finish() -> None:
    assert stream(delta("stop", content="x"), done=False)[-1] == Finished(reason="stop", raw_reason="stop")


@pytest.mark.parametrize(
    ("chunk", "kind"),
    [
        (b'data: {"error":{"message":"m","code":"rate_limit_exceeded"}}\n\n', "RateLimitedError"),
        (b'data: {"error":"overheated"}\n\n', "UpstreamProtocolError"),
        (b'event: error\ndata: {"message":"m","status_code":503}\n\n', "UpstreamUnavailableError"),
        (b'data: {"id":"x","choices":[{"error":{"code":429,"message":"m"}}]}\n\n', "RateLimitedError"),
        (b"data: {nonsense\n\n", "UpstreamProtocolError"),
        (b"data: 7\n\n", "UpstreamProtocolError"),
    ],
)
def test_an_error_inside_a_stream_comes_after_the_events_before_it(chunk: bytes, kind: str) -> None:
    decoder = CODEC.stream_decoder(target())
    first = b"data: " + dump_json(delta(content="x")) + b"\n\n"
    assert TextDelta(text="x") in decoder.feed(first + chunk + b"data: [DONE]\n\n")
    with pytest.raises(LLMError) as caught:
        decoder.feed(b"")
    assert type(caught.value).__name__ == kind
    with pytest.raises(LLMError):
        decoder.close()


def test_an_error_after_the_finish_is_still_an_error() -> None:
    decoder = CODEC.stream_decoder(target("openrouter", "x/y"))
    body = dump_json(delta("length")) + b'\n\ndata: {"error":{"code":400,"message":"m"},"choices":[]}\n\n'
    decoder.feed(b"data: " + body)
    with pytest.raises(InvalidRequestError):
        decoder.close()


def test_several_choices_keep_their_own_state() -> None:
    events = stream(delta(index=0, content="a"), delta(index=1, content="b"), delta("stop", 1), delta("length", 0))
    assert [event for event in events if isinstance(event, Finished)] == [
        Finished(reason="stop", raw_reason="stop", choice=1),
        Finished(reason="length", raw_reason="length", choice=0),
    ]


def test_a_second_finish_of_one_choice_is_not_reported() -> None:
    events = stream(delta("length", content="x"), delta("length"))
    assert sum(isinstance(event, Finished) for event in events) == 1


def test_usage_is_read_wherever_it_stands_and_the_last_number_wins() -> None:
    events = stream(
        delta(content="x") | {"usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": None}},
        delta("stop") | {"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 9}}},
    )
    last = [event.usage for event in events if isinstance(event, UsageReported)][-1]
    assert (last.input_tokens, last.output_tokens) == (5, 9)


def test_the_reasoning_field_once_seen_is_the_only_one_read() -> None:
    events = stream(
        delta(reasoning_content="a", reasoning="a"), delta(reasoning="again"), delta("stop", reasoning_content="b")
    )
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == "ab"


def test_a_signature_without_text_is_kept() -> None:
    details = [{"type": "reasoning.encrypted", "data": "abc"}]
    events = stream(delta("stop", reasoning_details=details, content="x"), to=target("openrouter", "x/y"))
    assert ReasoningDelta(text="", provider_metadata={"openai.chat": {"reasoning_details": details}}) in events


def test_a_json_body_instead_of_a_stream() -> None:
    decoder = CODEC.stream_decoder(target())
    decoder.feed(b' {"error": {"message": "m", "code"')
    decoder.feed(b': "model_not_found"}}')
    with pytest.raises(LLMError, match="does not know this model"):
        decoder.close()
    whole = CODEC.stream_decoder(target())
    whole.feed(dump_json(answer({"content": "x", "tool_calls": [{"id": "a", "function": {"name": "f"}}]})))
    events = whole.close()
    assert TextDelta(text="x") in events
    assert ToolCallStarted(index=0, id="a", name="f") in events
    assert events[-1] == Finished(reason="tool_calls", raw_reason="stop")


@pytest.mark.parametrize("body", [b"", b"\n\n", b": hi\n\n", b"data: [DONE]\n\n", b"<html></html>"])
def test_a_stream_without_an_answer_is_an_error(body: bytes) -> None:
    decoder = CODEC.stream_decoder(target())
    decoder.feed(body)
    with pytest.raises(UpstreamProtocolError):
        decoder.close()


# --- models, embeddings, images ---


def models(body: Any) -> Any:
    return CODEC.parse_list_models(WireResponse(status=200, headers={}, body=dump_json(body)), target())


def test_an_openrouter_page() -> None:
    row = {
        "id": "x/y",
        "name": "Y",
        "created": 1789000000,
        "context_length": 131072,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "pricing": {"prompt": "0.0000025", "completion": "0.00001", "request": "0", "input_cache_read": "-1"},
        "top_provider": {"max_completion_tokens": 8192},
        "supported_parameters": ["tools", "structured_outputs"],
        "expiration_date": "2027-01-14",
    }
    page = models({"data": [row, {"name": "no id"}], "links": {"next": "/api/v1/models?offset=1"}})
    (model,) = page.models
    assert model.prices_per_1m == {"input": "2.5", "output": "10"}
    assert model.capabilities["tools"] and model.capabilities["vision"] and not model.capabilities["reasoning"]
    assert (model.context_length, model.max_output_tokens, model.retires_on) == (131072, 8192, "2027-01-14")
    following = CODEC.build_list_models(target(base_url="https://or.test/api/v1"), cursor=page.next_cursor)
    assert following is not None and following.url == "https://or.test/api/v1/models?offset=1"


def test_a_next_page_on_another_host_is_not_followed() -> None:
    with pytest.raises(ConfigurationError):
        CODEC.build_list_models(target(), cursor="https://evil.test/v1/models?offset=1")


def test_togethers_bare_list_and_mistrals_capabilities() -> None:
    assert models([{"id": "a", "pricing": {"input": 0.2, "output": 0.6}}]).models[0].prices_per_1m == {
        "input": "0.2",
        "output": "0.6",
    }
    row = {"id": "m", "max_context_length": 32768, "capabilities": {"function_calling": False, "vision": True}}
    (model,) = models({"data": [row]}).models
    assert model.capabilities == {"tools": False, "vision": True}
    assert model.context_length == 32768


def test_embeddings_as_numbers_and_as_base64_in_any_order() -> None:
    body = {
        "model": "e",
        "data": [{"index": 1, "embedding": "AACAPwAAAEA="}, {"index": 0, "embedding": [0.5, 1]}],
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    response = CODEC.parse_embeddings(WireResponse(status=200, headers={}, body=dump_json(body)), target())
    assert response.vectors == ((0.5, 1.0), (1.0, 2.0))
    assert response.usage.input_tokens == 4


def test_embedding_inputs_as_texts_and_token_ids() -> None:
    for inputs, expected in ((("a", "b"), ["a", "b"]), (((1, 2), (3,)), [[1, 2], [3]])):
        wire = CODEC.build_embeddings(EmbeddingRequest(inputs=inputs, dimensions=8), target(model="e"))
        assert read_json(wire.body) == {"model": "e", "input": expected, "dimensions": 8}
        assert wire.url.endswith("/v1/embeddings")


def test_images() -> None:
    request = ImageRequest(prompt="a cat", size="1024x1024", response_format="b64_json")
    wire = CODEC.build_images(request, target(model="gpt-image-2"))
    assert read_json(wire.body) == {"model": "gpt-image-2", "prompt": "a cat", "size": "1024x1024"}
    assert wire.warnings
    body = {"created": 1, "data": [{"b64_json": "iVBORw0KGgo=", "revised_prompt": "cat"}, {"url": "https://x.test/i"}]}
    response = CODEC.parse_images(WireResponse(status=200, headers={}, body=dump_json(body)), target())
    assert [image.media_type for image in response.images] == ["image/png", None]
    assert response.revised_prompts == ("cat", None)


def test_fields_of_a_wrong_type_are_passed_over() -> None:
    decoder = CODEC.stream_decoder(target())
    for chunk in ({"choices": 1.5}, {"choices": [{"finish_reason": {}}]}, {"id": "a", "choices": {"a": 1}}):
        decoder.feed(b"data: " + dump_json(chunk) + b"\n\n")
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": {}}]}
    answer = CODEC.parse_response(WireResponse(status=200, headers={}, body=dump_json(body)), target())
    assert (answer.text, answer.finish_reason) == ("x", "stop")
