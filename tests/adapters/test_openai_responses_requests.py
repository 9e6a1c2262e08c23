"""What we send to /responses, when a chat goes there, and what goes back with its next turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import Transport, create_adapter
from adapters.azure_openai import AzureOpenAICodec
from adapters.errors import UnsupportedFeatureError
from adapters.kinds import profile_for
from adapters.openai_chat import OpenAIChatCodec
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.openai_responses import OpenAIResponsesCodec
from adapters.openai_responses_items import DIALECT
from adapters.types import (
    AudioPart,
    ChatRequest,
    FilePart,
    ImagePart,
    JsonFormat,
    JsonSchemaFormat,
    Message,
    NamedTool,
    RefusalPart,
    TextPart,
    ToolCall,
    WireResponse,
)
from tests.adapters.replay import calls_of
from tests.adapters.responses_values import (
    CALL,
    CODEC,
    HELLO,
    REASONING,
    SECRET,
    TOOL,
    asked,
    body_of,
    ended,
    items,
    message,
    read,
    said,
    target_for,
    text,
)
from tests.upstream import Upstream, json_answer
from tests.upstream import sse as streamed

# --- the way there -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "settings", "path"),
    [
        ("gpt-5.6-sol", {"tools": (TOOL,), "reasoning_effort": "low"}, "/responses"),
        ("gpt-6-astra", {"tools": (TOOL,)}, "/responses"),
        ("gpt-5.6-sol", {"tools": (TOOL,), "reasoning_effort": "none"}, "/chat/completions"),
        ("gpt-5.6-sol", {}, "/chat/completions"),
        ("gpt-4o", {"tools": (TOOL,)}, "/chat/completions"),
        ("gpt-5-pro", {}, "/responses"),
        ("gpt-5.3-codex", {}, "/responses"),
        ("o3-pro", {}, "/responses"),
        ("o3", {"tools": (TOOL,), "reasoning_effort": "low"}, "/chat/completions"),
    ],
)
@pytest.mark.parametrize("kind", ["openai", "azure_openai"])
def test_a_call_that_chat_refuses_goes_to_responses(kind: str, model: str, settings: dict[str, Any], path: str) -> None:
    codec = AzureOpenAICodec() if kind == "azure_openai" else OpenAIChatCodec()
    target = target_for(model, kind, base_url="https://x.openai.azure.com", options={"api_version": "2024-10-21"})
    request = ChatRequest(messages=HELLO, **settings)
    built = codec.for_request(request, target).build_request(request, target, stream=False)
    assert built.url.partition("?")[0].endswith(path)
    if kind == "azure_openai" and path == "/responses":
        assert built.url == "https://x.openai.azure.com/openai/v1/responses"


def test_a_server_that_only_looks_like_openai_is_not_sent_there() -> None:
    codec, target = OpenAIChatCodec(), target_for("gpt-5-pro", "openai_compatible")
    request = ChatRequest(messages=HELLO)
    assert codec.for_request(request, target) is codec


def test_an_owner_may_choose_the_endpoint() -> None:
    target = target_for("gpt-4o", options={"api": "responses"})
    assert isinstance(OpenAIChatCodec().for_request(ChatRequest(messages=HELLO), target), OpenAIResponsesCodec)


def test_azures_own_errors_hold_on_its_responses_too() -> None:
    codec = AzureOpenAICodec().for_request(
        ChatRequest(messages=HELLO), target_for("gpt-5-pro", "azure_openai", base_url="https://x.openai.azure.com")
    )
    response = WireResponse(status=404, headers={}, body=b'{"error": {"code": "404"}}')
    assert codec.parse_error(response, target_for()).code == "configuration_error"


async def test_an_adapter_reads_what_the_bridge_asked_for() -> None:
    whole = {"id": "r", "status": "completed", "model": "gpt-5.6-sol", "output": [SECRET, CALL]}
    request = ChatRequest(messages=HELLO, tools=(TOOL,), reasoning_effort="high")
    transport = Transport()
    with Upstream() as upstream:
        upstream.on("POST", "/v1/responses", json_answer(whole), streamed([json.dumps(ended(SECRET, CALL))]))
        address = upstream.base_url + "/v1"
        adapter = create_adapter("openai", base_url=address, api_key="k", model="gpt-5.6-sol", transport=transport)
        answer, _ = await adapter.complete(request)
        async with adapter.open_stream(request) as stream:
            assert stream.dialect == DIALECT
            events = [event async for _, completed in stream for event in completed]
    await transport.aclose()
    assert (answer.finish_reason, answer.tool_calls[0].id) == ("tool_calls", "call_1")
    assert calls_of(events) == [("weather", '{"a":1}')]


# --- the request ---------------------------------------------------------------------------------------------------


def test_only_what_was_asked_is_sent_and_nothing_is_stored() -> None:
    assert asked("gpt-4o") == {"model": "gpt-4o", "input": [{"role": "user", "content": "hi"}], "store": False}
    assert asked()["include"] == ["reasoning.encrypted_content"]
    assert body_of(ChatRequest(messages=HELLO), stream=True)["stream"] is True


def test_every_kind_of_part_has_its_form() -> None:
    found = items(
        said("system", "be brief"),
        said(
            "user",
            "see",
            ImagePart(media_type="image/png", data=b"p", detail="low"),
            ImagePart(url="https://x.test/a.png"),
            AudioPart(data=b"a", format="wav"),
            FilePart(data=b"%", media_type="application/pdf"),
            FilePart(url="https://x.test/a.pdf"),
            FilePart(file_id="file-1"),
            FilePart(file_id="file-2", media_type="image/png"),
        ),
        said("assistant", RefusalPart(text="no")),
    )
    assert found[0] == {"role": "developer", "content": "be brief"}
    assert found[1]["content"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,cA==", "detail": "low"},
        {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "auto"},
        {"type": "input_audio", "input_audio": {"data": "YQ==", "format": "wav"}},
        {"type": "input_file", "filename": "file.pdf", "file_data": "data:application/pdf;base64,JQ=="},
        {"type": "input_file", "file_url": "https://x.test/a.pdf"},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_image", "file_id": "file-2"},
    ]
    assert found[2] == {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}


def test_settings_have_this_apis_names() -> None:
    schema = JsonSchemaFormat(name="a", schema={"type": "object"}, description="d")
    body = asked(
        tools=(TOOL,),
        tool_choice=NamedTool(name="weather"),
        parallel_tool_calls=False,
        max_output_tokens=5,
        reasoning_effort="max",
        verbosity="low",
        response_format=schema,
        user="u",
        service_tier="flex",
        metadata={"a": "b"},
    )
    tool = {"type": "function", "name": "weather", "description": None, "parameters": TOOL.parameters, "strict": False}
    assert body["tools"] == [tool]
    assert body["tool_choice"] == {"type": "function", "name": "weather"}
    assert (body["max_output_tokens"], body["parallel_tool_calls"]) == (16, False)
    assert body["reasoning"] == {"effort": "max"}
    wanted = {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": False, "description": "d"}
    assert body["text"] == {"format": wanted, "verbosity": "low"}
    assert (body["user"], body["service_tier"], body["metadata"]) == ("u", "flex", {"a": "b"})
    assert asked(response_format=JsonFormat())["text"] == {"format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("gpt-5.6-sol", "minimal", {"effort": "low"}),
        ("gpt-5.5", "max", {"effort": "xhigh"}),
        ("gpt-5-pro", "low", {"effort": "high"}),
        ("gpt-4o", "low", None),
        ("gpt-5.6-sol", None, None),
    ],
)
def test_an_effort_is_one_that_the_model_takes(model: str, effort: str | None, sent: Any) -> None:
    assert asked(model, reasoning_effort=effort).get("reasoning") == sent


def test_sampling_is_open_only_while_the_model_does_not_reason() -> None:
    closed = CODEC.build_request(
        ChatRequest(messages=HELLO, temperature=0.5, logprobs=True, top_logprobs=2), target_for(), stream=False
    )
    assert {"temperature", "top_logprobs"}.isdisjoint(json.loads(closed.body)) and len(closed.warnings) == 2
    assert json.loads(closed.body)["include"] == ["reasoning.encrypted_content"]
    open_ = asked("gpt-4o", temperature=0.5, logprobs=True, top_logprobs=2)
    assert (open_["temperature"], open_["top_logprobs"]) == (0.5, 2)
    assert open_["include"] == ["message.output_text.logprobs"]
    assert asked(temperature=0.5, reasoning_effort="none")["temperature"] == 0.5


def test_what_the_api_has_no_setting_for_is_named_or_refused() -> None:
    request = ChatRequest(messages=HELLO, stop=("a",), seed=1, logit_bias={"1": 2.0})
    assert len(CODEC.build_request(request, target_for(), stream=False).warnings) == 3
    for settings in (
        {"n": 2},
        {"extra": {"prediction": {}}, "dialect": "openai.chat"},
        {"extra": {"x": 1}, "dialect": "anthropic.messages"},
        {"extra": {"tools": ["x"]}, "dialect": "openai.chat"},
    ):
        with pytest.raises(UnsupportedFeatureError):
            asked(**settings)


def test_a_chat_clients_own_fields_and_tools_find_their_place() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
    extra = {
        "store": True,
        "prompt_cache_key": "k",
        "tools": [{"type": "custom", "custom": {"name": "math", "format": grammar}}, {"type": "web_search"}],
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    }
    body = body_of(ChatRequest(messages=HELLO, extra=extra, dialect="openai.chat"), stream=True)
    assert (body["store"], body["prompt_cache_key"]) == (True, "k")
    flat = {"type": "grammar", "syntax": "lark", "definition": "x"}
    assert body["tools"] == [{"type": "custom", "name": "math", "format": flat}, {"type": "web_search"}]
    assert body["stream_options"] == {"include_obfuscation": False}


def test_fields_in_this_apis_own_words_stand_beside_ours() -> None:
    extra = {"include": ["x"], "reasoning": {"summary": "auto"}, "previous_response_id": "r", "tools": [{"type": "t"}]}
    body = asked(extra=extra, dialect=DIALECT, reasoning_effort="low", tools=(TOOL,))
    assert body["include"] == ["reasoning.encrypted_content", "x"]
    assert body["reasoning"] == {"summary": "auto", "effort": "low"}
    assert body["previous_response_id"] == "r" and len(body["tools"]) == 2


# --- turns go back -------------------------------------------------------------------------------------------------


def test_reasoning_goes_back_encrypted_before_what_it_led_to() -> None:
    answer = read(SECRET, message(text("look"), phase="commentary"), CALL | {"namespace": "n"})
    result = said("tool", "3", tool_call_id="call_1")
    found = items(*HELLO, Message(role="assistant", parts=answer.parts), result)[1:]
    assert found == [
        SECRET,
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "look"}],
            "id": "msg_1",
            "phase": "commentary",
        },
        CALL | {"namespace": "n"},
        {"type": "function_call_output", "call_id": "call_1", "output": "3"},
    ]


def test_a_tool_loop_through_a_chat_client_keeps_the_reasoning() -> None:
    client = OpenAIChatClientCodec()
    choice = client.encode_response(read(SECRET, CALL), request_id="r", model="m")["choices"][0]
    turns = [{"role": "user", "content": "hi"}, choice["message"]]
    again = client.parse_request({"messages": turns}).request
    assert items(*again.messages)[1:] == [SECRET, CALL]


def test_what_another_account_said_stays_here() -> None:
    parts = read(SECRET, message(text("x")), CALL).parts
    request = ChatRequest(messages=(Message(role="assistant", parts=parts),))
    target = target_for("gpt-5.6-sol", "azure_openai", options={})
    found = json.loads(CODEC.build_request(request, target, stream=False).body)["input"]
    assert [item.get("type") for item in found] == ["message", "function_call"]
    assert not any("id" in item for item in found)


def test_trap_15_orphans_are_left_out_and_calls_stand_together() -> None:
    two = CALL | {"id": "fc_2", "call_id": "call_2"}
    answer = read(SECRET, CALL, message(text("between")), SECRET | {"id": "rs_2"}, two, SECRET | {"id": "rs_3"})
    found = items(Message(role="assistant", parts=answer.parts))
    assert [item["id"] for item in found] == ["msg_1", "rs_1", "fc_1", "rs_2", "fc_2"]
    changed = (*read(SECRET).parts, TextPart(text="changed"))
    assert [item["type"] for item in items(Message(role="assistant", parts=changed))] == ["message"]
    alone = items(Message(role="assistant", parts=read(SECRET).parts))
    assert alone == [{"role": "assistant", "content": ""}]


def test_reasoning_that_nobody_can_read_any_more_is_left_out() -> None:
    found = items(Message(role="assistant", parts=read(REASONING, CALL).parts))
    assert [item["type"] for item in found] == ["function_call"]


def test_server_tools_go_back_whole() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "q"}}
    answer = read(search, message(text("found")))
    assert answer.text == "found"
    assert items(Message(role="assistant", parts=answer.parts))[0] == search


def test_a_custom_tools_text_goes_both_ways() -> None:
    custom = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "math", "input": "4 + 4"}
    answer = read(custom)
    assert (answer.tool_calls[0].arguments, answer.finish_reason) == ("4 + 4", "tool_calls")
    found = items(Message(role="assistant", parts=answer.parts), said("tool", "8", tool_call_id="c"))
    assert found == [custom, {"type": "custom_tool_call_output", "call_id": "c", "output": "8"}]
    chat = OpenAIChatClientCodec().encode_response(answer, request_id="r", model="m")["choices"][0]["message"]
    assert chat["tool_calls"][0]["type"] == "custom"


def test_a_tools_image_is_its_output() -> None:
    picture = ImagePart(media_type="image/png", data=b"p")
    call = ToolCall(id="c", name="weather", arguments="")
    found = items(said("assistant", call), said("tool", "see", picture, tool_call_id="c"))
    assert found[0]["arguments"] == "{}"
    assert [piece["type"] for piece in found[1]["output"]] == ["input_text", "input_image"]


def test_odd_turns_find_their_place() -> None:
    found = items(
        said("user", RefusalPart(text="no"), "x"),
        said("assistant", "a", ""),
        said("assistant", RefusalPart(text="b"), "c"),
    )
    assert found[0]["content"][0] == {"type": "input_text", "text": "no"}
    assert [len(item["content"]) for item in found[1:]] == [1, 2]
    for turn in (said("user", ToolCall(id="c", name="x", arguments=""), "y"), said("user", IMAGE, "y")):
        target = target_for("gpt-4o", profile=profile_for("openai", "gpt-4o", {"supports_images": False}))
        with pytest.raises(UnsupportedFeatureError):
            CODEC.build_request(ChatRequest(messages=(turn,)), target, stream=False)


IMAGE = ImagePart(url="https://x.test/a.png")


def test_a_codec_of_its_own_stays_and_reads_openais_errors() -> None:
    request = ChatRequest(messages=HELLO)
    assert CODEC.for_request(request, target_for()) is CODEC
    error = CODEC.parse_error(WireResponse(status=429, headers={}, body=b"{}"), target_for())
    assert error.code == "upstream_rate_limited"


def test_the_hubs_own_word_stands_where_both_speak() -> None:
    extra = {"model": "other", "store": True}
    body = asked(extra=extra, dialect=DIALECT, response_format=JsonSchemaFormat(name="a", schema={}))
    assert (body["model"], body["store"]) == ("gpt-5.6-sol", True)
    plain = {"type": "custom", "custom": {"name": "m"}}
    tools = asked(extra={"tools": [plain], "stream_options": {}}, dialect="openai.chat")["tools"]
    assert tools == [{"type": "custom", "name": "m"}]
