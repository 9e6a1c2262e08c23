"""What we read from /responses, whole and streamed. Bodies here are synthetic, after OpenAI's documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.errors import ContentFilteredError, LLMError, UpstreamProtocolError
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.openai_responses_items import DIALECT
from adapters.types import (
    ImagePart,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    TextDelta,
    ToolCallStarted,
    WireResponse,
)
from tests.adapters.replay import assert_splits_agree, calls_of, decode, finished, reasoning_of, text_of
from tests.adapters.responses_values import (
    CALL,
    CODEC,
    CREATED,
    REASONING,
    SECRET,
    ended,
    ev,
    message,
    read,
    sse,
    target_for,
    text,
)

# --- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "other"),
        ({"status": "incomplete"}, "other"),
        ({"status": "queued"}, "other"),
        ({}, "tool_calls"),
    ],
)
def test_a_status_is_a_finish_reason(fields: dict[str, Any], reason: str) -> None:
    answer = read(CALL, **fields)
    assert answer.finish_reason == reason
    assert bool(answer.tool_calls) is (reason != "content_filter")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "invalid_prompt", "message": "secret"}, "content_filter"),
        ({"code": "rate_limit_exceeded"}, "upstream_rate_limited"),
        ({"code": "server_error"}, "upstream_unavailable"),
        ({"code": "bio_policy"}, "content_filter"),
        (None, "upstream_protocol_error"),
    ],
)
def test_a_failed_answer_is_an_error(error: Any, kind: str) -> None:
    with pytest.raises(LLMError) as raised:
        read(status="failed", error=error)
    assert raised.value.code == kind and "secret" not in str(raised.value)
    failed = {"type": "response.failed", "response": {"status": "failed", "error": error}}
    _, found = decode(CODEC.stream_decoder(target_for()), [sse(failed)])
    assert found is not None and found.code == kind


@pytest.mark.parametrize("body", [b"[]", b'"x"', b'{"output": 1}', b"{}"])
def test_a_body_without_an_answer_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        CODEC.parse_response(WireResponse(status=200, headers={}, body=body), target_for())


def test_citations_refusals_images_and_probabilities_are_read() -> None:
    note = {"type": "url_citation", "url": "https://x.test", "title": "t", "start_index": 0, "end_index": 1}
    tokens = [{"token": "a", "logprob": -1.0}]
    image = {"type": "image_generation_call", "id": "ig", "result": "AA==", "output_format": "webp"}
    answer = read(
        message(
            text("a", annotations=[note, {"type": "file_citation"}], logprobs=tokens),
            {"type": "refusal", "refusal": "no"},
        ),
        image,
        image | {"result": "!"},
    )
    assert answer.choices[0].logprobs == {"content": tokens}
    assert RefusalPart(text="no") in answer.parts
    assert ImagePart(media_type="image/webp", data=b"\0") in answer.parts
    encoded = OpenAIChatClientCodec().encode_response(answer, request_id="r", model="m")
    cited = encoded["choices"][0]["message"]["annotations"]
    assert cited == [{"type": "url_citation", "url_citation": {k: v for k, v in note.items() if k != "type"}}]


def test_thinking_in_the_open_is_read_before_its_summary() -> None:
    pieces = [{"type": "reasoning_text", "text": "a"}, {"type": "reasoning_text", "text": "b"}]
    (part,) = read(REASONING | {"content": pieces}).parts
    assert isinstance(part, ReasoningPart) and part.text == "a\n\nb"


# --- streams -------------------------------------------------------------------------------------------------------


def test_trap_23_items_overlap_and_names_are_optional() -> None:
    body = b": comment\n\n" + sse(
        CREATED,
        ev("output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1"}),
        ev("reasoning_text.delta", output_index=0, content_index=0, delta="h"),
        ev("output_item.added", output_index=1, item=message(phase="final_answer")),
        ev("output_text.delta", output_index=1, content_index=0, delta="yes"),
        ev("output_item.done", output_index=1, item=message(text("yes"))),
        ev("reasoning_text.done", output_index=0, content_index=0, text="hm"),
        ended(),
        names=False,
    )
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body + b"data: [DONE]\n\n")
    assert (text_of(events), reasoning_of(events)) == ("yes", "hm")
    first = next(event for event in events if isinstance(event, TextDelta))
    assert first.provider_metadata[DIALECT]["phase"] == "final_answer"


def test_trap_24_done_says_what_no_delta_said() -> None:
    body = sse(
        CREATED,
        ev("queued", response={}),
        ev("output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1", "summary": []}),
        ev("output_item.done", output_index=0, item=SECRET),
        ev("output_item.added", output_index=1, item=CALL | {"arguments": ""}),
        ev("function_call_arguments.done", output_index=1, arguments='{"a":1}'),
        ev("output_item.done", output_index=1, item=CALL),
        ev("output_item.added", output_index=2, item=CALL | {"arguments": "", "id": "fc_2"}),
        ev("output_item.done", output_index=2, item=CALL | {"arguments": "", "id": "fc_2"}),
        ended(message(text("tail"), id="msg_9"), output_index=3),
    )
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body)
    assert reasoning_of(events) == "hm"
    assert calls_of(events) == [("weather", '{"a":1}'), ("weather", "{}")]
    kept = [event.provider_metadata for event in events if isinstance(event, ReasoningDelta)]
    assert kept[-1][DIALECT]["item"]["encrypted_content"] == "gAAA"
    started = next(event for event in events if isinstance(event, ToolCallStarted))
    assert (started.id, started.provider_metadata[DIALECT]["id"]) == ("call_1", "fc_1")


def test_summaries_are_parted_and_the_first_form_of_a_thought_is_the_one_read() -> None:
    body = sse(
        ev("output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1"}),
        ev("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="a"),
        ev("reasoning_text.delta", output_index=0, content_index=0, delta="again"),
        ev("reasoning_summary_text.done", output_index=0, summary_index=1, text="b"),
        ended(),
    )
    assert reasoning_of(assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body)) == "a\n\nb"


def test_refusals_custom_calls_and_server_tools_stream() -> None:
    custom = {"type": "custom_tool_call", "id": "ctc", "call_id": "c", "name": "math", "input": ""}
    search = {"type": "web_search_call", "id": "ws_1"}
    note = {"type": "url_citation", "url": "https://x.test"}
    body = sse(
        ev("output_item.added", output_index=0, item=message()),
        ev("refusal.delta", output_index=0, content_index=0, delta="n"),
        ev("refusal.done", output_index=0, content_index=0, refusal="no"),
        ev(
            "output_item.done",
            output_index=0,
            item=message({"type": "refusal", "refusal": "no"}, text("x", annotations=[note])),
        ),
        ev("output_item.added", output_index=1, item=custom),
        ev("custom_tool_call_input.delta", output_index=1, delta="4"),
        ev("custom_tool_call_input.done", output_index=1, input="4 + 4"),
        ev("output_item.done", output_index=1, item=custom | {"input": "4 + 4"}),
        ev("output_item.done", output_index=2, item=search),
        ev("web_search_call.searching", output_index=2),
        ended(usage={"input_tokens": 3, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}}),
        ev("output_text.delta", output_index=0, delta="behind the end"),
    )
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body)
    assert "".join(event.text for event in events if isinstance(event, RefusalDelta)) == "no"
    assert calls_of(events) == [("math", "4 + 4")] and text_of(events) == "x"
    opaque = [event.provider_metadata[DIALECT] for event in events if isinstance(event, TextDelta) and not event.text]
    assert opaque[0]["annotations"] == [note] and opaque[1]["item"] == search
    assert finished(events).reason == "tool_calls"


def test_an_incomplete_stream_may_have_no_usage() -> None:
    body = sse(
        ev("output_text.delta", output_index=0, content_index=0, delta="x"),
        ended(status="incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=None),
    )
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body)
    assert (finished(events).reason, finished(events).raw_reason) == ("length", "max_output_tokens")


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "code": "content_filter", "message": "secret", "param": None},
        {"type": "error", "error": {"type": "x", "code": "content_filter", "message": "secret"}},
        {"error": {"code": "content_filter", "message": "secret"}},
    ],
)
def test_an_error_in_any_form_is_raised_after_what_came_before(error: dict[str, Any]) -> None:
    text_first = sse(ev("output_text.delta", output_index=0, delta="x"))
    body = text_first + f"data: {json.dumps(error)}\n\n".encode()
    assert text_of(assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body)) == "x"
    _, found = decode(CODEC.stream_decoder(target_for()), [body])
    assert isinstance(found, ContentFilteredError) and "secret" not in str(found)


@pytest.mark.parametrize("body", [b"", sse(CREATED), b"data: [1]\n\n", b"data: {\n\n", b'{"error": {"code": "x"}}'])
def test_a_stream_without_its_end_is_an_error(body: bytes) -> None:
    _, error = decode(CODEC.stream_decoder(target_for()), [body])
    assert isinstance(error, LLMError)


def test_a_whole_body_in_place_of_a_stream_is_read() -> None:
    body = {"id": "r", "status": "completed", "model": "m", "output": [message(text("yes")), CALL]}
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), json.dumps(body).encode())
    assert text_of(events) == "yes" and calls_of(events) == [("weather", '{"a":1}')]


@pytest.mark.parametrize(
    "event",
    [
        ev("output_text.delta", output_index=0, content_index={}, delta="x"),
        ev("output_text.delta", item_id=[], delta="x"),
        ev("output_item.added", output_index=0, item={"type": []}),
        ev("output_item.done", output_index=0, item={"type": {}, "id": []}),
        ev("reasoning_text.done", summary_index=[], content_index=[], text={}),
        ended({"type": [], "id": {}}, 5),
    ],
)
def test_a_field_of_a_wrong_type_is_passed_over(event: dict[str, Any]) -> None:
    _, error = decode(CODEC.stream_decoder(target_for()), [sse(CREATED, event, ended())])
    assert error is None
    assert read({"type": [], "id": {}}).text == ""


def test_a_broken_stream_stays_broken() -> None:
    decoder = CODEC.stream_decoder(target_for())
    for _ in range(2):
        with pytest.raises(LLMError):
            decoder.feed(b"data: {\n\n")
    with pytest.raises(UpstreamProtocolError):
        CODEC.stream_decoder(target_for()).feed(b"{" + b" " * (17 * 1024 * 1024))


def test_texts_that_come_whole_and_pieces_that_say_nothing() -> None:
    body = sse(
        CREATED,
        ev("output_item.added", output_index=0),
        ev("output_item.added", output_index=0, item=message()),
        ev("refusal.delta", output_index=0, delta=""),
        ev("output_text.done", output_index=0, content_index=0, text="whole"),
        ev("output_item.done", output_index=0, item=message(text("whole"), "odd")),
        ev("function_call_arguments.delta", output_index=7, delta="nobody's"),
        ended(),
    )
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body[:-1])
    assert text_of(events) == "whole" and calls_of(events) == []
    assert read(message("odd", {"type": "output_text"}), {"type": "reasoning", "summary": [5]}).text == ""
