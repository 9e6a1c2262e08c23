"""The hub's own /v1/responses: what clients send, what they get back, whole and streamed. Synthetic."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from adapters.errors import InvalidRequestError, RateLimitedError
from adapters.openai_responses_client import OpenAIResponsesClientCodec
from adapters.openai_responses_input import open_metadata, seal_metadata
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
    Part,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    ResponseStarted,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from tests.adapters.responses_values import asked as bridged

CODEC = OpenAIResponsesClientCodec()
PNG = base64.b64encode(b"\x89PNG").decode()
OWN = "openai.responses"


def asked(**fields: Any) -> ChatRequest:
    return CODEC.parse_request({"input": "hi", **fields}).request


def turns(*items: Any) -> tuple[Message, ...]:
    return asked(input=list(items)).messages


def user(*content: Any) -> Message:
    (message,) = turns({"role": "user", "content": list(content)})
    return message


# --- requests ------------------------------------------------------------------------------------------------------


def test_settings_of_every_kind_are_read() -> None:
    request = asked(
        model="m",
        instructions="Be brief.",
        max_output_tokens=99,
        temperature=0.5,
        top_p=0.9,
        top_logprobs=2,
        parallel_tool_calls=False,
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_object"}, "verbosity": "low"},
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        include=["reasoning.encrypted_content"],
        prompt_cache_key="k",
        brand_new=1,
        store=True,
        background=False,
        truncation="disabled",
    )
    assert request.messages[0] == Message(role="system", parts=(TextPart(text="Be brief."),))
    assert (request.max_output_tokens, request.temperature, request.top_p) == (99, 0.5, 0.9)
    assert (request.logprobs, request.top_logprobs, request.parallel_tool_calls) == (True, 2, False)
    assert (request.reasoning_effort, request.verbosity, request.response_format) == ("high", "low", JsonFormat())
    assert (request.user, request.metadata, request.service_tier) == ("u", {"a": "b"}, "flex")
    assert request.extra == {"brand_new": 1}
    hints = {"prompt_cache_key": "k", "include": ["reasoning.encrypted_content"], "reasoning": {"summary": "auto"}}
    assert request.provider_metadata == {OWN: hints}


def test_what_is_left_out_stays_unsaid() -> None:
    parsed = CODEC.parse_request({"input": "hi", "include": ["message.output_text.logprobs"], "text": {}})
    assert (parsed.model, parsed.stream, parsed.request.logprobs) == (None, False, True)
    assert parsed.request.response_format is None and parsed.request.reasoning_effort is None
    assert asked(text={"format": {"type": "text"}}).response_format is None
    assert asked(metadata={}).metadata is None
    assert asked(reasoning={"effort": "low"}).provider_metadata == {}


def test_tools_choices_and_a_schema_are_read() -> None:
    tool = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    request = asked(
        tools=[tool | {"defer_loading": True}, {"type": "web_search"}],
        tool_choice={"type": "function", "name": "f"},
        text={"format": {"type": "json_schema", "name": "s", "schema": {}, "strict": True, "description": "d"}},
    )
    (read,) = request.tools
    assert (read.name, read.description, read.parameters, read.strict) == ("f", "d", {"type": "object"}, True)
    assert read.provider_metadata == {OWN: {"defer_loading": True}}
    assert request.extra == {"tools": [{"type": "web_search"}]}
    assert request.tool_choice == NamedTool(name="f")
    assert request.response_format == JsonSchemaFormat(name="s", schema={}, strict=True, description="d")
    assert asked(tool_choice="required").tool_choice == "required"
    assert asked(tool_choice={"type": "web_search"}).extra == {"tool_choice": {"type": "web_search"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema", "name": "s"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"type": "a_new_kind"}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "system", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "video"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        asked(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "data:text/plain;base64,eA=="},
        {"type": "input_image", "image_url": "ftp://example.org/a.png"},
        {"type": "input_image", "image_url": "https://example.org/a.png", "file_id": "f"},
        {"type": "input_file"},
        {"type": "input_file", "file_id": "f", "file_url": "https://example.org/a.pdf"},
        {"type": "input_file", "file_data": "data:application/pdf,plain"},
        {"type": "input_file", "file_data": "no base64!"},
        {"type": "input_audio", "input_audio": {"data": "no base64!", "format": "wav"}},
    ],
)
def test_a_damaged_attachment_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        user(part)
    assert (refused.value.param or "").startswith("input[0].content[0]")


def test_attachments_of_every_kind_are_read() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"wave").decode(), "format": "wav"}}
    message = user(
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
        {"type": "input_image", "image_url": "https://example.org/a.png"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_id": "file-2", "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://example.org/a.pdf"},
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{PNG}", "filename": "a.pdf"},
        {"type": "input_file", "file_data": PNG},
        audio,
    )
    text, inline, linked, uploaded, file_id, file_url, named, bare, sound = message.parts
    assert text == TextPart(text="see")
    assert inline == ImagePart(media_type="image/png", data=b"\x89PNG", detail="low")
    assert linked == ImagePart(url="https://example.org/a.png")
    assert isinstance(uploaded, FilePart) and uploaded.file_id == "file-1"
    assert file_id == FilePart(file_id="file-2", filename="a.pdf")
    assert file_url == FilePart(url="https://example.org/a.pdf")
    assert named == FilePart(media_type="application/pdf", data=b"\x89PNG", filename="a.pdf")
    assert bare == FilePart(data=b"\x89PNG")
    assert sound == AudioPart(data=b"wave", format="wav")


def test_an_assistants_items_are_one_turn_and_a_result_knows_its_tool() -> None:
    first, second, third, fourth = turns(
        {"role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"text": "hm"}, {"text": "so"}], "encrypted_content": "gA"},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "looking"}, {"type": "refusal", "refusal": "no"}],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "", "id": "fc_1", "status": "completed"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "free"},
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "function_call_output", "call_id": "c1", "output": "21"},
        {"type": "custom_tool_call_output", "call_id": "unknown", "output": [{"type": "input_text", "text": "x"}]},
    )
    assert (first.role, first.text) == ("system", "rules")
    thought, said, refused, call, custom, searched = second.parts
    assert isinstance(thought, ReasoningPart) and thought.text == "hm\n\nso"
    assert thought.provider_metadata[OWN]["item"]["encrypted_content"] == "gA"
    assert said == TextPart(text="looking", provider_metadata={OWN: {"id": "msg_1", "phase": "commentary"}})
    assert refused == RefusalPart(text="no")
    assert call == ToolCall(id="c1", name="f", arguments="{}", provider_metadata={OWN: {"id": "fc_1"}})
    assert isinstance(custom, ToolCall) and custom.arguments == "free"
    assert custom.provider_metadata == {"openai.chat": {"type": "custom"}, OWN: {"type": "custom"}}
    assert searched == TextPart(text="", provider_metadata={OWN: {"item": {"type": "web_search_call", "id": "ws_1"}}})
    assert (third.role, third.tool_call_id, third.name, third.text) == ("tool", "c1", "f", "21")
    assert (fourth.tool_call_id, fourth.name) == ("unknown", None)


def test_a_text_alone_is_a_user_and_an_assistant_may_end_the_input() -> None:
    assert asked(input="hi").messages == (Message(role="user", parts=(TextPart(text="hi"),)),)
    assert [message.role for message in turns({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})]
    assert turns({"type": "reasoning", "content": [{"text": "raw"}, 5], "summary": 7})[0].parts[0].text == "raw"  # type: ignore[union-attr]  # a part with text, or the test fails


def test_another_vendors_signature_travels_sealed_and_damage_to_it_is_left_behind() -> None:
    metadata = {"anthropic": {"signature": "s"}, OWN: {"id": "x"}, "gemini": {}}
    sealed = seal_metadata(metadata)
    assert sealed is not None and open_metadata(sealed) == {"anthropic": {"signature": "s"}}
    assert seal_metadata({OWN: {"id": "x"}}) is None
    assert open_metadata("gAAA") is None and open_metadata(None) is None
    assert open_metadata("llmhub-v1.%%%") == {}
    assert open_metadata("llmhub-v1." + base64.b64encode(b"[1]").decode()) == {}
    (message,) = turns({"type": "reasoning", "summary": [], "encrypted_content": sealed})
    assert message.parts == (ReasoningPart(text="", provider_metadata={"anthropic": {"signature": "s"}}),)


# --- answers -------------------------------------------------------------------------------------------------------


def encoded(*parts: Part, reason: Any = "stop", usage: Usage | None = None) -> dict[str, Any]:
    choice = Choice(parts=parts, finish_reason=reason)
    response = ChatResponse(id="up", model="served", choices=(choice,), usage=usage or Usage(), created=7)
    return CODEC.encode_response(response, request_id="req_1", model="alias")


def test_an_answer_of_every_part_is_written() -> None:
    body = encoded(
        ReasoningPart(text="hm", provider_metadata={"anthropic": {"signature": "s"}}),
        TextPart(text="a"),
        RefusalPart(text="no"),
        ToolCall(id="c1", name="f", arguments=""),
        ToolCall(id="c2", name="g", arguments="free", provider_metadata={"openai.chat": {"type": "custom"}}),
        ImagePart(media_type="image/png", data=b"\x89PNG"),
        ImagePart(url="https://example.org/a.png"),
        reason="tool_calls",
        usage=Usage(input_tokens=3, output_tokens=2, cache_read_tokens=1, provider_cost_usd="0.5"),
    )
    thought, message, call, custom, image = body["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert open_metadata(thought["encrypted_content"]) == {"anthropic": {"signature": "s"}}
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal"]
    assert (call["type"], call["call_id"], call["arguments"]) == ("function_call", "c1", "{}")
    assert (custom["type"], custom["input"]) == ("custom_tool_call", "free")
    assert (image["type"], image["result"]) == ("image_generation_call", PNG)
    assert (body["id"], body["model"], body["created_at"], body["status"]) == ("resp_1", "alias", 7, "completed")
    assert body["usage"]["input_tokens_details"] == {"cached_tokens": 1, "cache_write_tokens": 0}
    assert (body["usage"]["total_tokens"], body["usage"]["cost"]) == (5, 0.5)


def test_an_answer_cut_short_says_why_and_one_without_usage_has_none() -> None:
    body = encoded(TextPart(text="a"), ToolCall(id="c", name="f", arguments='{"a'), reason="length")
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert body["usage"] is None
    assert [item["status"] for item in body["output"]] == ["completed", "incomplete"]
    assert encoded(TextPart(text="a"), reason="content_filter")["output"][0]["status"] == "incomplete"


def streamed(*events: StreamEvent) -> list[dict[str, Any]]:
    encoder = CODEC.stream_encoder(request_id="req_1", model="alias", include_usage=False)
    written = b"".join(encoder.encode(event) for event in events) + encoder.finish()
    return read(written)


def read(written: bytes) -> list[dict[str, Any]]:
    blocks = [block.split(b"\n") for block in written.split(b"\n\n") if block]
    events = [json.loads(lines[1][6:]) for lines in blocks]
    assert [lines[0] for lines in blocks] == [b"event: " + event["type"].encode() for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_stream_opens_and_closes_each_item() -> None:
    note = {"type": "url_citation", "url": "https://example.org"}
    events = streamed(
        ResponseStarted(id="up", model="served", created=7),
        ReasoningDelta(text=""),
        ReasoningDelta(text="h"),
        ReasoningDelta(text="m"),
        TextDelta(text="a", logprobs={"content": [{"token": "a"}]}),
        TextDelta(text="", provider_metadata={OWN: {"annotations": [note]}}),
        TextDelta(text=""),
        ToolCallStarted(index=0, id="", name="f"),
        ToolCallDelta(index=0, arguments='{"a'),
        ToolCallDelta(index=0, arguments=""),
        ToolCallDelta(index=9, arguments="of nobody"),
        ToolCallStarted(index=1, id="c2", name="g", provider_metadata={OWN: {"type": "custom", "namespace": "n"}}),
        ToolCallDelta(index=1, arguments="free"),
        ToolCallDelta(index=0, arguments='":1}'),
        UsageReported(usage=Usage(input_tokens=1, output_tokens=1)),
        Finished(reason="tool_calls"),
        TextDelta(text="another choice", choice=1),
    )
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.added",
        "custom_tool_call_input.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    output = events[-1]["response"]["output"]
    assert output[1]["content"][0]["annotations"] == [note]
    assert output[1]["content"][0]["logprobs"] == [{"token": "a"}]
    assert (output[2]["arguments"], output[2]["call_id"]) == ('{"a":1}', "call_1_0")
    assert (output[3]["input"], output[3]["namespace"]) == ("free", "n")


def test_signed_thoughts_stay_apart_and_messages_keep_their_ids() -> None:
    item = {"type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "gA"}
    events = streamed(
        ReasoningDelta(text="one", provider_metadata={"anthropic": {"signature": "s"}}),
        ReasoningDelta(text="two", provider_metadata={"gemini": {"thought_signature": "t"}}),
        ReasoningDelta(text="", provider_metadata={OWN: {"item": item}}),
        TextDelta(text="a", provider_metadata={OWN: {"id": "msg_a", "phase": "commentary"}}),
        TextDelta(text="b", provider_metadata={OWN: {"id": "msg_b"}}),
        RefusalDelta(text="no"),
        ToolCallStarted(index=0, id="c", name="f", provider_metadata={"gemini": {"thought_signature": "t"}}),
        TextDelta(text="", provider_metadata={OWN: {"item": {"type": "web_search_call", "id": "ws"}}}),
        Finished(reason="length"),
    )
    output = events[-1]["response"]["output"]
    assert open_metadata(output[0]["encrypted_content"]) == {"anthropic": {"signature": "s"}}
    assert output[1] == item
    assert [(one["id"], one.get("phase")) for one in output[2:4]] == [("msg_a", "commentary"), ("msg_b", None)]
    assert [part["type"] for part in output[3]["content"]] == ["output_text", "refusal"]
    assert open_metadata(output[4]["encrypted_content"]) == {"gemini": {"thought_signature": "t"}}
    assert output[5] == {"type": "web_search_call", "id": "ws"}
    assert events[-1]["type"] == "response.incomplete"


def test_a_thought_of_which_only_the_signature_came_is_still_an_item() -> None:
    events = streamed(ReasoningDelta(text="", provider_metadata={"anthropic": {"signature": "s"}}))
    (item,) = events[-1]["response"]["output"]
    assert item["summary"] == [] and open_metadata(item["encrypted_content"]) == {"anthropic": {"signature": "s"}}


def test_a_chat_clients_own_fields_go_along_when_its_request_is_bridged() -> None:
    assert bridged(extra={"prompt_cache_key": "k"}, dialect="openai.chat")["prompt_cache_key"] == "k"


def test_a_stream_that_breaks_ends_in_failed_without_the_upstreams_words() -> None:
    encoder = CODEC.stream_encoder(request_id="req_1", model="alias", include_usage=False)
    error = RateLimitedError("p asks to slow down", upstream_message="org-secret")
    written = encoder.encode(TextDelta(text="a")) + encoder.error(error, request_id="req_1")
    events = read(written)
    assert kinds(events)[-2:] == ["error", "failed"]
    assert events[-2]["code"] == "rate_limit_exceeded" and b"org-secret" not in written
    assert CODEC.encode_error(error, request_id="r")["error"]["code"] == "rate_limit_exceeded"


def test_a_stream_that_said_nothing_is_still_a_whole_answer() -> None:
    assert kinds(streamed()) == ["created", "in_progress", "completed"]
    assert kinds(streamed(Finished(reason="stop"), Finished(reason="stop", choice=1)))[-1] == "completed"
