"""Anthropic's dialect at its edges: odd lists, odd blocks, odd headers, what is left out and said so. Synthetic."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.anthropic import AnthropicCodec
from adapters.anthropic_client import AnthropicClientCodec, with_betas, with_version
from adapters.errors import ConfigurationError, InvalidRequestError, UnsupportedFeatureError, UpstreamProtocolError
from adapters.types import (
    AudioPart,
    ChatRequest,
    ChatResponse,
    Choice,
    FilePart,
    Finished,
    ImagePart,
    JsonSchemaFormat,
    Message,
    Part,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    WireResponse,
)
from tests.adapters.replay import calls_of, finished, text_of
from tests.adapters.test_anthropic_requests import HELLO, TOOL, asked, body_of, build, said, target_for
from tests.adapters.test_anthropic_stream import START, STOP, closed, delta, ended, opened, read, sse

CODEC = AnthropicCodec()
CLIENT = AnthropicClientCodec()


def reply(body: Any) -> WireResponse:
    return WireResponse(status=200, headers={}, body=json.dumps(body).encode())


# --- lists and counts ----------------------------------------------------------------------------------------------


def test_lists_and_counts_that_are_none_are_errors() -> None:
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_list_models(reply({"data": "x"}), target_for())
    for count in (None, True, "3"):
        with pytest.raises(UpstreamProtocolError):
            CODEC.parse_count_tokens(reply({"input_tokens": count}), target_for())
    assert CODEC.parse_count_tokens(reply({"input_tokens": 3}), target_for()) == 3


def test_a_model_lists_dates_may_be_anything() -> None:
    rows = [{"id": str(n), "created_at": value} for n, value in enumerate(["2025-01-01T00:00:00Z", "soon", 9, 0, None])]
    page = CODEC.parse_list_models(reply({"data": [*rows, 5, {"id": 7}]}), target_for())
    assert [model.created for model in page.models] == [1735689600, None, 9, None, None]


def test_usage_never_overflows_and_reasons_nobody_gave_are_told_from_the_calls() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    usage = {"input_tokens": 2**63, "output_tokens": 1}
    answer = CODEC.parse_response(reply({"content": [call], "usage": usage}), target_for())
    assert (answer.finish_reason, answer.usage.input_tokens) == ("tool_calls", None)
    assert CODEC.parse_response(reply({"content": [], "usage": {}}), target_for()).finish_reason == "stop"


# --- requests ------------------------------------------------------------------------------------------------------


def test_what_has_no_place_is_left_out_and_said_so() -> None:
    messages = (said("user", "hi", name="Ann"),)
    request = ChatRequest(messages=messages, service_tier="flex", stop=("\n", "END"), seed=4)
    built = build(request)
    body = json.loads(built.body)
    assert body["stop_sequences"] == ["END"] and "service_tier" not in body
    assert [word in " ".join(built.warnings) for word in ("speaker", "service_tier", "stop", "seed")] == [True] * 4
    assert asked(service_tier="auto")["service_tier"] == "auto"


@pytest.mark.parametrize(
    ("parts", "profile"),
    [
        ((AudioPart(data=b"x", format="wav"),), {}),
        ((ImagePart(media_type="image/png", data=b"x"),), {"supports_images": False}),
        ((ImagePart(media_type="image/tiff", data=b"x"),), {}),
        ((FilePart(data=b"x", media_type="application/pdf"),), {"supports_files": False}),
    ],
)
def test_what_a_model_cannot_see_is_refused(parts: tuple[Part, ...], profile: dict[str, Any]) -> None:
    target = target_for()
    with pytest.raises(UnsupportedFeatureError):
        CODEC.build_request(
            ChatRequest(messages=(said("user", *parts),)),
            target_for(profile=target.profile.override(profile)),
            stream=False,
        )


def test_a_later_system_message_has_a_turn_where_the_model_takes_one_and_no_results_are_due() -> None:
    target = target_for()
    turns = target_for(profile=target.profile.override({"supports_system_turns": True}))
    call = Message(role="assistant", parts=(ToolCall(id="t", name="f", arguments="{}"),))
    told = said("system", "be brief")
    for before, role in ((HELLO, "system"), ((*HELLO, said("assistant", "yes")), "system"), ((*HELLO, call), "user")):
        request = ChatRequest(messages=(*before, told))
        body = json.loads(CODEC.build_request(request, turns, stream=False).body)
        assert body["messages"][-1]["role"] == role


def test_an_uploaded_image_goes_back_as_an_image() -> None:
    source = {"type": "file", "file_id": "file_1"}
    turn = {"role": "user", "content": [{"type": "image", "source": source}]}
    request = CLIENT.parse_request({"max_tokens": 9, "messages": [turn]}).request
    (back,) = json.loads(CODEC.build_request(request, target_for(), stream=False).body)["messages"]
    assert back["content"] == [{"type": "image", "source": source}]


def test_tools_of_a_model_without_them_and_odd_efforts_are_refused() -> None:
    profile = target_for().profile.override({"supports_tools": False})
    with pytest.raises(UnsupportedFeatureError, match="tools"):
        build(ChatRequest(messages=HELLO, tools=(TOOL,)), profile=profile)
    with pytest.raises(UnsupportedFeatureError, match="reasoning_effort"):
        asked(reasoning_effort="enormous")
    with pytest.raises(ConfigurationError):
        build(ChatRequest(messages=HELLO), headers={"x-note": "two\nlines"})


def test_a_schema_nested_beyond_walking_is_refused() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(20_000):
        schema = {"anyOf": [schema]}
    with pytest.raises(UnsupportedFeatureError, match="nested"):
        asked(response_format=JsonSchemaFormat(name="s", schema=schema))
    mapped = {"type": "object", "properties": {"a": {"items": {"type": "object"}}}, "minItems": 3}
    built = asked(response_format=JsonSchemaFormat(name="s", schema=mapped))["output_config"]["format"]["schema"]
    assert built["properties"]["a"]["items"]["additionalProperties"] is False and "minItems" not in built


def client(**fields: Any) -> ChatRequest:
    return CLIENT.parse_request({"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields}).request


BUDGET = {"type": "enabled", "budget_tokens": 2048}


@pytest.mark.parametrize(
    ("model", "wanted", "sent"),
    [
        ("claude-sonnet-4-5", BUDGET, BUDGET),
        ("claude-sonnet-4-5", {"type": "adaptive"}, {"type": "enabled", "budget_tokens": 4095}),
        ("claude-opus-4-6", BUDGET, BUDGET),
        ("claude-opus-4-8", BUDGET, {"type": "adaptive", "display": "summarized"}),
        ("claude-opus-4-8", {"type": "adaptive"}, {"type": "adaptive"}),
        ("claude-opus-4-8", {"type": "disabled"}, {"type": "disabled"}),
        ("claude-opus-4-8", {"type": "something_new"}, {"type": "something_new"}),
        ("claude-opus-4-8", {"type": "between_tools"}, None),
        ("claude-3-haiku", BUDGET, "said"),
    ],
)
def test_thinking_as_its_own_client_asks_for_it_is_kept_translated_or_said_to_be_left_out(
    model: str, wanted: Any, sent: Any
) -> None:
    built = build(client(thinking=wanted, max_tokens=4096), model)
    assert json.loads(built.body).get("thinking") == (None if sent == "said" else sent)
    assert bool(built.warnings) is (sent == "said")


def test_an_effort_named_by_its_own_client_fits_the_model() -> None:
    request = client(output_config={"effort": "xhigh"}, max_tokens=4096)
    assert body_of(request, "claude-opus-4-6")["output_config"]["effort"] in ("high", "max", "xhigh")
    assert "effort" not in body_of(request, "claude-3-haiku").get("output_config", {})


# --- the hub's own clients -----------------------------------------------------------------------------------------


def test_the_clients_headers_go_to_anthropic_alone() -> None:
    request = client()
    assert with_betas(request, " , ") is request
    hinted = with_version(with_betas(request, "a-1, b-2"), "2023-06-01")
    assert hinted.provider_metadata["anthropic"] == {"betas": ["a-1", "b-2"], "version": "2023-06-01"}
    assert with_version(request, "") is request and with_version(request, "2023-01-01") is request
    for bad in (lambda: with_betas(request, "a b"), lambda: with_version(request, "today")):
        with pytest.raises(InvalidRequestError):
            bad()


def test_a_clients_turn_may_mix_results_and_words_in_any_order() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "21"}
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}
    turn = {"role": "user", "content": [{"type": "text", "text": "see"}, result, {"type": "text", "text": "so?"}]}
    messages = client(messages=[{"role": "user", "content": "hi"}, call, turn]).messages
    assert [(message.role, message.text) for message in messages[2:]] == [
        ("user", "see"),
        ("tool", "21"),
        ("user", "so?"),
    ]


def test_documents_of_every_source_are_read_and_damage_is_refused() -> None:
    sources: list[dict[str, Any]] = [
        {"type": "text", "media_type": "text/plain", "data": "words"},
        {"type": "url", "url": "https://example.org/a.pdf"},
        {"type": "file", "file_id": "file_1"},
        {"type": "content", "content": [{"type": "text", "text": "x"}]},
    ]
    blocks = [{"type": "document", "source": source} for source in sources]
    (message,) = client(messages=[{"role": "user", "content": blocks}]).messages
    text, linked, uploaded, whole = message.parts
    assert text == FilePart(media_type="text/plain", data=b"words")
    assert linked == FilePart(url="https://example.org/a.pdf") and uploaded == FilePart(file_id="file_1")
    assert isinstance(whole, TextPart) and whole.provider_metadata["anthropic"]["block"] == blocks[3]
    assert body_of(ChatRequest(messages=(message,)))["messages"][0]["content"][1:] == blocks[1:]
    damaged = {"type": "base64", "media_type": "image/png", "data": "%"}
    with pytest.raises(InvalidRequestError):
        client(messages=[{"role": "user", "content": [{"type": "image", "source": damaged}]}])


def encoded(*parts: Part, **fields: Any) -> dict[str, Any]:
    choice = Choice(parts=parts, **fields)
    response = ChatResponse(
        id=None, model="m", choices=(choice,), usage=Usage(output_tokens=1, provider_cost_usd="0.5")
    )
    return CLIENT.encode_response(response, request_id="req_1", model="alias")


def test_an_answer_of_every_part_is_written() -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    body = encoded(
        ReasoningPart(text="hm"),
        ReasoningPart(text="", provider_metadata={"anthropic": {"redacted_data": "x"}}),
        TextPart(text="a", provider_metadata={"anthropic": {"citations": [{"type": "c"}]}}),
        TextPart(text=""),
        TextPart(text="", provider_metadata={"anthropic": {"block": block}}),
        RefusalPart(text="no"),
        ToolCall(id="", name="f", arguments="{}", provider_metadata={"anthropic": {"caller": {"type": "direct"}}}),
        ImagePart(url="https://example.org/a.png"),
    )
    kinds = [one["type"] for one in body["content"]]
    assert kinds == ["thinking", "redacted_thinking", "text", "server_tool_use", "text", "tool_use"]
    assert body["content"][2]["citations"] and body["content"][-1]["caller"] == {"type": "direct"}
    assert (body["stop_reason"], body["usage"]["cost"]) == ("end_turn", 0.5)
    assert encoded(raw_finish_reason="pause_turn")["stop_reason"] == "pause_turn"  # only its own client can go on
    assert encoded(finish_reason="length", raw_finish_reason="max")["stop_reason"] == "max_tokens"
    stopped = ChatResponse(id=None, model="m", choices=(), provider_metadata={"anthropic": {"stop_sequence": "END"}})
    assert CLIENT.encode_response(stopped, request_id="r", model="m")["stop_reason"] == "end_turn"


def written(*events: Any) -> list[dict[str, Any]]:
    encoder = CLIENT.stream_encoder(request_id="req_1", model="alias", include_usage=True)
    told = b"".join(encoder.encode(event) for event in events) + encoder.finish()
    return [json.loads(line[6:]) for line in told.split(b"\n") if line.startswith(b"data: ")]


def test_a_stream_of_odd_events_is_written() -> None:
    citation = {"type": "char_location"}
    events = written(
        ReasoningDelta(text=""),
        ReasoningDelta(text="", provider_metadata={"anthropic": {"redacted_data": "x"}}),
        ReasoningDelta(text="hm"),
        TextDelta(text="", provider_metadata={"anthropic": {"citations": [citation]}}),
        RefusalDelta(text="no"),
        ToolCallStarted(index=0, id="t", name="f"),
        ToolCallDelta(index=7, arguments="of nobody"),
        ToolCallDelta(index=0, arguments="{}"),
    )
    deltas = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert deltas == ["thinking_delta", "signature_delta", "citations_delta", "text_delta", "input_json_delta"]


def test_what_only_this_dialect_knows_is_written_whole() -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}}
    events = written(
        ReasoningDelta(text="", provider_metadata={"anthropic": {"signature": "S"}}),
        TextDelta(text="", provider_metadata={"anthropic": {"block": block}}),
        Finished(reason="stop", provider_metadata={"anthropic": {"context_management": {"applied_edits": []}}}),
    )
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "server_tool_use"]
    assert next(event["delta"] for event in events if event["type"] == "content_block_delta")["signature"] == "S"
    assert [event["context_management"] for event in events if event["type"] == "message_delta"] == [
        {"applied_edits": []}
    ]


def test_calls_side_by_side_are_written_one_after_the_other() -> None:
    events = written(
        ToolCallStarted(index=0, id="a", name="f"),
        ToolCallStarted(index=1, id="b", name="g"),
        ToolCallDelta(index=1, arguments='{"b":'),
        ToolCallDelta(index=0, arguments='{"a":'),
        ToolCallDelta(index=1, arguments="1}"),
        ToolCallDelta(index=0, arguments="0}"),
        Finished(reason="tool_calls"),
    )
    deltas = [event for event in events if event["type"] == "content_block_delta"]
    told = {n: "".join(e["delta"]["partial_json"] for e in deltas if e["index"] == n) for n in (0, 1)}
    assert told == {0: '{"a":0}', 1: '{"b":1}'}


def test_a_spent_budget_of_the_hubs_own_is_a_billing_error() -> None:
    error = InvalidRequestError("The budget is spent.")
    error.code = "insufficient_quota"
    assert CLIENT.encode_error(error, request_id="r")["error"]["type"] == "billing_error"
    answer = encoded(TextPart(text="a"))
    choice = Choice(parts=(TextPart(text="a"),))
    stopped = ChatResponse(
        id=None, model="m", choices=(choice,), provider_metadata={"anthropic": {"stop_sequence": "END"}}
    )
    assert (answer["stop_sequence"], answer["stop_reason"]) == (None, "end_turn")
    assert CLIENT.encode_response(stopped, request_id="r", model="m")["stop_reason"] == "stop_sequence"


# --- streams -------------------------------------------------------------------------------------------------------


def test_blocks_that_say_all_at_their_start_and_deltas_that_say_nothing() -> None:
    events = read(
        START,
        opened(0, type="text", text="whole"),
        delta(0, "text_delta", text=""),
        delta(0, "thinking_delta", thinking=""),
        delta(0, "citations_delta"),
        delta(0, "a_new_delta"),
        closed(0),
        opened(1, type="thinking", thinking="hm", signature="S"),
        closed(1),
        opened(2, type="thinking", thinking="more"),
        closed(2),
        delta(9, "input_json_delta", partial_json="{}"),
        delta(9, "compaction_delta", content="x"),
        opened(3, type="server_tool_use", id="s", name="web_search", input={}),
        delta(3, "input_json_delta", partial_json='{"q'),
        closed(3),
        opened(4, type="tool_use", id="t", name="f", input={"a": 1}),
        closed(4),
        closed(4),
        {"type": "message_delta", "delta": 5, "usage": {}},
        {"type": "message_start", "message": {"usage": None}},
        ended("tool_use"),
        STOP,
    )
    assert text_of(events) == "whole"
    assert [e.text for e in events if isinstance(e, ReasoningDelta)] == ["hm", "more"]
    assert calls_of(events) == [("f", '{"a":1}')]
    assert finished(events).reason == "tool_calls"


def test_a_compaction_is_gathered_and_what_was_edited_is_told() -> None:
    """After docs.claude.com, compaction and context editing."""
    events = read(
        START,
        opened(0, type="compaction", content=None),
        delta(0, "compaction_delta", content="All "),
        delta(0, "compaction_delta", content="so far."),
        closed(0),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "context_management": {"applied_edits": [{"type": "clear_tool_uses_20250919"}]},
        },
        STOP,
    )
    (whole,) = [event for event in events if isinstance(event, TextDelta)]
    assert whole.provider_metadata == {"anthropic": {"block": {"type": "compaction", "content": "All so far."}}}
    (edit,) = finished(events).provider_metadata["anthropic"]["context_management"]["applied_edits"]
    assert edit["type"] == "clear_tool_uses_20250919"


@pytest.mark.parametrize(
    "broken",
    [b"data: [1]\n\n", sse({"type": "content_block_delta", "index": 0, "delta": 5})],
)
def test_an_event_of_the_wrong_shape_is_an_error(broken: bytes) -> None:
    decoder = CODEC.stream_decoder(target_for())
    decoder.feed(sse(START) + broken)
    with pytest.raises(UpstreamProtocolError):
        decoder.close()


def test_a_done_of_compatible_servers_and_what_follows_the_end_mean_nothing() -> None:
    decoder = CODEC.stream_decoder(target_for())
    events = decoder.feed(sse(START, ended("end_turn")) + b"data: [DONE]\n\n" + sse(STOP, ended("max_tokens")))
    assert finished(events + decoder.close()).reason == "stop"


def test_a_message_may_hold_no_parts_at_all() -> None:
    assert body_of(ChatRequest(messages=(*HELLO, Message(role="assistant"), *HELLO)))["messages"]
