"""Anthropic's stream and answers, read: the shapes its documentation allows and that recordings show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.anthropic import AnthropicCodec
from adapters.errors import (
    AuthenticationError,
    ContextLengthExceededError,
    InvalidRequestError,
    LLMError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitedError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from adapters.types import (
    Finished,
    ReasoningDelta,
    ResponseStarted,
    Target,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
    WireResponse,
)
from tests.adapters.replay import assert_splits_agree, calls_of, decode, finished, last_usage, text_of

CODEC = AnthropicCodec()
TARGET = Target(kind="anthropic", base_url="https://api.anthropic.com", model="claude-opus-5", provider="ours")


def sse(*events: dict[str, Any], end: str = "\n") -> bytes:
    lines = (f"event: {e['type']}{end}data: {json.dumps(e, ensure_ascii=False)}{end}{end}" for e in events)
    return "".join(lines).encode()


START = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "claude-opus-5", "usage": {"input_tokens": 3, "output_tokens": 1}},
}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}


def opened(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def closed(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ended(reason: str, usage: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None, **fields},
        "usage": usage or {"output_tokens": 9},
    }


def read(*events: dict[str, Any], end: str = "\n") -> list[Any]:
    return assert_splits_agree(lambda: CODEC.stream_decoder(TARGET), sse(*events, end=end))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_plain_answer(end: str) -> None:
    events = read(
        START,
        PING,
        opened(0, type="text", text=""),
        PING,
        delta(0, "text_delta", text="he\u2028y"),
        {"type": "something_new", "x": 1},
        delta(0, "text_delta", text=" \U0001f600"),
        closed(0),
        ended("end_turn"),
        STOP,
        end=end,
    )
    first = Usage(input_tokens=3, output_tokens=1, raw={"input_tokens": 3, "output_tokens": 1})
    assert events == [
        ResponseStarted(id="msg_1", model="claude-opus-5"),
        UsageReported(usage=first),
        TextDelta(text="he\u2028y"),
        TextDelta(text=" \U0001f600"),
        UsageReported(usage=Usage(input_tokens=3, output_tokens=9, raw={"input_tokens": 3, "output_tokens": 9})),
        Finished(reason="stop", raw_reason="end_turn"),
    ]


def test_thinking_its_signature_and_what_is_redacted() -> None:
    events = read(
        START,
        opened(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="SIG"),
        closed(0),
        opened(1, type="redacted_thinking", data="ENC"),
        closed(1),
        ended("end_turn"),
        STOP,
    )
    assert [event for event in events if isinstance(event, ReasoningDelta)] == [
        ReasoningDelta(text="hm"),
        ReasoningDelta(text="", provider_metadata={"anthropic": {"signature": "SIG"}}),
        ReasoningDelta(text="", provider_metadata={"anthropic": {"redacted_data": "ENC"}}),
    ]


def test_calls_are_numbered_from_0_whatever_the_blocks_are_and_no_arguments_are_an_object() -> None:
    events = read(
        START,
        opened(0, type="text", text=""),
        closed(0),
        opened(1, type="tool_use", id="t1", name="f", input={}),
        delta(1, "input_json_delta", partial_json=""),
        closed(1),
        opened(2, type="tool_use", id="t2", name="g", input={}),
        delta(2, "input_json_delta", partial_json=""),
        delta(2, "input_json_delta", partial_json='{"a"'),
        delta(2, "input_json_delta", partial_json=":1}"),
        closed(2),
        opened(3, type="tool_use", id="t3", name="h", input={"whole": True}),
        closed(3),
        ended("tool_use"),
        STOP,
    )
    assert calls_of(events) == [("f", "{}"), ("g", '{"a":1}'), ("h", '{"whole":true}')]
    assert [event.id for event in events if isinstance(event, ToolCallStarted)] == ["t1", "t2", "t3"]
    assert finished(events) == Finished(reason="tool_calls", raw_reason="tool_use")


def test_max_tokens_inside_a_call_leaves_its_arguments_as_they_came() -> None:
    events = read(
        START,
        opened(0, type="tool_use", id="t1", name="f", input={}),
        delta(0, "input_json_delta", partial_json='{"a": "cu'),
        ended("max_tokens"),
        STOP,
    )
    assert [event for event in events if isinstance(event, ToolCallDelta)] == [
        ToolCallDelta(index=0, arguments='{"a": "cu')
    ]
    assert finished(events).reason == "length"
    assert last_usage(events).input_tokens == 3


def test_server_tools_are_no_calls_and_stay_whole() -> None:
    result = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"url": "u"}]}
    fallback = {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}
    events = read(
        START,
        opened(0, **fallback),
        closed(0),
        opened(1, type="server_tool_use", id="s1", name="web_search", input={}),
        delta(1, "input_json_delta", partial_json='{"query":'),
        delta(1, "input_json_delta", partial_json='"x"}'),
        closed(1),
        opened(2, **result),
        closed(2),
        ended("pause_turn"),
        STOP,
    )
    blocks = [e.provider_metadata["anthropic"]["block"] for e in events if isinstance(e, TextDelta)]
    server = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}
    assert blocks == [fallback, server, result]
    assert text_of(events) == ""
    assert finished(events) == Finished(reason="stop", raw_reason="pause_turn")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("compaction", "stop"),
        ("of_tomorrow", "other"),
    ],
)
def test_reasons_to_stop(raw: str, reason: str) -> None:
    assert finished(read(START, ended(raw), STOP)) == Finished(reason=reason, raw_reason=raw)


def test_a_refusal_without_content_keeps_its_details() -> None:
    details = {"type": "refusal", "category": "cyber"}
    events = read(START, ended("refusal", stop_details=details), STOP)
    assert finished(events).provider_metadata == {"anthropic": {"stop_details": details}}


def test_usage_is_replaced_field_by_field_and_counts_the_cache_in() -> None:
    start = json.loads(json.dumps(START))
    start["message"]["usage"] = {
        "input_tokens": 3,
        "cache_read_input_tokens": 1217,
        "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
        "output_tokens": 4,
    }
    middle = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5}}
    end = ended("end_turn", {"output_tokens": 9, "input_tokens": None, "output_tokens_details": {"thinking_tokens": 2}})
    usage = last_usage(read(start, middle, end, STOP))
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (1320, 9, 2)
    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens) == (1217, 100, 60)


def test_unreported_usage_is_none() -> None:
    start = {"type": "message_start", "message": {"id": "m", "model": "x"}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    assert not [event for event in read(start, end, STOP) if isinstance(event, UsageReported)]


def test_a_second_message_start_does_not_start_again() -> None:
    events = read(START, START, opened(0, type="text", text="a"), closed(0), ended("end_turn"), STOP)
    assert sum(isinstance(event, ResponseStarted) for event in events) == 1
    assert text_of(events) == "a"


@pytest.mark.parametrize("kept", range(1, 4))
def test_a_stream_cut_short_is_never_a_success(kept: int) -> None:
    events = [START, opened(0, type="text", text=""), delta(0, "text_delta", text="hal")][:kept]
    found, error = decode(CODEC.stream_decoder(TARGET), [sse(*events)])
    assert isinstance(error, UpstreamProtocolError)
    assert not [event for event in found if isinstance(event, Finished)]


def test_an_empty_body_is_cut_short() -> None:
    assert isinstance(decode(CODEC.stream_decoder(TARGET), [])[1], UpstreamProtocolError)


def test_a_stream_that_says_why_it_stopped_is_whole_without_message_stop() -> None:
    events, error = decode(CODEC.stream_decoder(TARGET), [sse(START, ended("end_turn"))])
    assert error is None and finished(events).reason == "stop"


def test_what_comes_before_an_error_in_the_same_bytes_is_answered_first() -> None:
    failure = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}, "request_id": "req_9"}
    decoder = CODEC.stream_decoder(TARGET)
    data = sse(START, opened(0, type="text", text=""), delta(0, "text_delta", text="a"), failure, ended("end_turn"))
    assert text_of(decoder.feed(data)) == "a"
    with pytest.raises(UpstreamUnavailableError) as raised:
        decoder.feed(b"")
    assert (raised.value.upstream_status, raised.value.upstream_request_id) == (529, "req_9")
    assert raised.value.upstream_message == "busy" and "busy" not in str(raised.value)
    with pytest.raises(UpstreamUnavailableError):
        decoder.close()
    assert_splits_agree(lambda: CODEC.stream_decoder(TARGET), data)


@pytest.mark.parametrize(
    "body",
    [
        b"data: {not json\n\n",
        b"data: [1]\n\n",
        b'data: {"type":"content_block_start","index":0}\n\n',
        b'data: {"type":"content_block_delta","index":0,"delta":3}\n\n',
    ],
)
def test_nonsense_is_a_protocol_error(body: bytes) -> None:
    assert isinstance(decode(CODEC.stream_decoder(TARGET), [body])[1], UpstreamProtocolError)


# --- whole answers -------------------------------------------------------------------------------------------------


def answer(body: Any) -> Any:
    return CODEC.parse_response(WireResponse(status=200, headers={}, body=json.dumps(body).encode()), TARGET)


def test_half_a_call_before_a_refusal_is_dropped() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    found = answer({"content": [{"type": "text", "text": "a"}, call], "stop_reason": "refusal"})
    assert (found.text, found.tool_calls, found.finish_reason) == ("a", (), "content_filter")
    assert found.usage == Usage() and found.model == "claude-opus-5"


@pytest.mark.parametrize("body", [[], {}, {"content": None}, {"content": "text"}])
def test_an_answer_without_content_is_a_protocol_error(body: Any) -> None:
    with pytest.raises(UpstreamProtocolError):
        answer(body)


def test_an_error_under_200_is_raised() -> None:
    with pytest.raises(RateLimitedError):
        answer({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}})


# --- errors --------------------------------------------------------------------------------------------------------


def failure(status: int, kind: str, message: str = "m", code: str | None = None, **headers: str) -> LLMError:
    details = {"details": {"error_code": code}} if code else {}
    body = json.dumps({"type": "error", "error": {"type": kind, "message": message, **details}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return CODEC.parse_error(WireResponse(status=status, headers=named, body=body), TARGET)


@pytest.mark.parametrize(
    ("error", "expected", "retryable"),
    [
        (failure(400, "invalid_request_error"), InvalidRequestError, False),
        (failure(400, "invalid_request_error", "prompt is too long: 9 > 8"), ContextLengthExceededError, False),
        (failure(400, "invalid_request_error", "credit balance is too low"), QuotaExceededError, False),
        (failure(400, "invalid_request_error", code="organization_on_hold"), PermissionDeniedError, False),
        (failure(401, "authentication_error"), AuthenticationError, False),
        (failure(402, "billing_error"), QuotaExceededError, False),
        (failure(403, "permission_error"), PermissionDeniedError, False),
        (failure(404, "not_found_error"), ModelNotFoundError, False),
        (failure(409, "conflict_error"), InvalidRequestError, True),
        (failure(413, "request_too_large"), InvalidRequestError, False),
        (failure(429, "rate_limit_error", retry_after="7"), RateLimitedError, True),
        (failure(429, "rate_limit_error", code="enforced_spend_limit_reached"), QuotaExceededError, False),
        (failure(429, "rate_limit_error", x_should_retry="false"), RateLimitedError, False),
        (failure(500, "api_error"), UpstreamUnavailableError, True),
        (failure(504, "timeout_error"), UpstreamTimeoutError, True),
        (failure(529, "overloaded_error"), UpstreamUnavailableError, True),
        # a compatible server that calls everything api_error
        (failure(401, "api_error"), AuthenticationError, False),
    ],
)
def test_errors_by_code_type_and_status(error: LLMError, expected: type[LLMError], retryable: bool) -> None:
    assert type(error) is expected
    assert error.retryable is retryable
    assert str(error).startswith("ours ")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "text"}', b'{"error": {"type": 3}}', b"\xff"])
def test_any_body_is_classified_by_its_status(body: bytes) -> None:
    for status, expected in ((502, UpstreamUnavailableError), (404, InvalidRequestError), (429, RateLimitedError)):
        assert type(CODEC.parse_error(WireResponse(status=status, headers={}, body=body), TARGET)) is expected


# --- the model list ------------------------------------------------------------------------------------------------


def test_the_model_list_pages_and_tells_capabilities() -> None:
    row = {
        "type": "model",
        "id": "claude-opus-5",
        "display_name": "Claude Opus 5",
        "created_at": "2026-05-01T00:00:00Z",
        "max_input_tokens": 1000000,
        "max_tokens": 128000,
        "retires_at": "2027-10-01T00:00:00Z",
        "capabilities": {
            "image_input": {"supported": True},
            "structured_outputs": {"supported": False},
            "thinking": {"supported": True, "types": {}},
            "of_tomorrow": {"supported": True},
        },
    }
    old = {"id": "claude-x", "capabilities": None, "created_at": "1970-01-01T00:00:00Z"}
    body = {"data": [row, old, {"no": "id"}], "has_more": True, "first_id": "a", "last_id": "claude-x"}
    page = CODEC.parse_list_models(WireResponse(status=200, headers={}, body=json.dumps(body).encode()), TARGET)
    first, second = page.models
    assert (first.id, first.name, first.created) == ("claude-opus-5", "Claude Opus 5", 1777593600)
    assert (first.context_length, first.max_output_tokens, first.retires_on) == (1000000, 128000, "2027-10-01")
    assert first.capabilities == {"vision": True, "json": False, "reasoning": True}
    assert (second.created, second.capabilities) == (None, {})
    assert page.next_cursor == "claude-x"
    request = CODEC.build_list_models(TARGET, cursor="claude-x/1")
    assert request.url == "https://api.anthropic.com/v1/models?limit=1000&after_id=claude-x%2F1"


def test_a_compatible_servers_list_is_read_and_a_last_page_ends() -> None:
    body = {"object": "list", "data": [{"id": "m", "object": "model", "created": 1700000000, "owned_by": "x"}]}
    page = CODEC.parse_list_models(WireResponse(status=200, headers={}, body=json.dumps(body).encode()), TARGET)
    assert (page.models[0].created, page.models[0].owned_by, page.next_cursor) == (1700000000, "x", None)
