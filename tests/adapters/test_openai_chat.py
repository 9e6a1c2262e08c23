"""The OpenAI chat codec toward providers: what it sends and what it reads. Bodies here are synthetic, after the
vendors' documents; recorded ones are in test_openai_recordings.py."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.errors import (
    ConfigurationError,
    InvalidRequestError,
    UnsupportedFeatureError,
)
from adapters.kinds import profile_for
from adapters.openai_chat import OpenAIChatCodec, needs_responses_api
from adapters.types import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    NamedTool,
    ReasoningPart,
    RefusalPart,
    Target,
    TextPart,
    ToolCall,
    ToolDefinition,
    WireRequest,
)
from adapters.wire_json import read_json

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
