"""What clients of OpenAI's chat dialect are given at its edges: encoders and the pass-through. Synthetic."""

from __future__ import annotations

import json

import pytest

from adapters.errors import (
    LLMError,
    QuotaExceededError,
)
from adapters.openai_chat import OpenAIChatCodec
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.passthrough import ChatStreamTap, is_said, read_text, reshapes, rewrite_model
from adapters.types import (
    AudioPart,
    ChatResponse,
    Choice,
    Finished,
    ImagePart,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    ResponseStarted,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from adapters.wire_json import dump_json
from tests.adapters.test_passthrough import TARGET, WHOLE, body_of, chunk, run

CODEC = OpenAIChatCodec()
CLIENT = OpenAIChatClientCodec()
OWN = "openai.chat"


# --- what clients get ----------------------------------------------------------------------------------------------


def test_an_answer_of_every_part_is_written() -> None:
    parts = (
        ReasoningPart(text="hm", provider_metadata={"anthropic": {"signature": "s"}}),
        TextPart(text="a", provider_metadata={OWN: {"annotations": [{"type": "url_citation"}]}}),
        RefusalPart(text="no"),
        ToolCall(id="c", name="f", arguments="{}", provider_metadata={"gemini": {"thought_signature": "t"}}),
        ToolCall(id="d", name="g", arguments="free", provider_metadata={OWN: {"type": "custom"}}),
        ToolCall(id="e", name="h", arguments="{}", provider_metadata={OWN: {"extra_content": {"google": 1}}}),
        ImagePart(media_type="image/png", data=b"\x89PNG"),
        AudioPart(data=b"x", format="wav", provider_metadata={OWN: {"audio": {"id": "a1"}}}),
    )
    response = ChatResponse(id="1", model="m", choices=(Choice(parts=parts, finish_reason="tool_calls"),))
    message = CLIENT.encode_response(response, request_id="req_1", model="alias")["choices"][0]["message"]
    assert message["reasoning_details"][0]["metadata"] == {"anthropic": {"signature": "s"}}
    assert message["annotations"] and message["refusal"] == "no" and message["audio"]["id"] == "a1"
    assert [call.get("extra_content") for call in message["tool_calls"]] == [
        {"llmhub-v1": {"gemini": {"thought_signature": "t"}}},
        None,
        {"google": 1},
    ]
    kept = ReasoningPart(text="hm", provider_metadata={OWN: {"reasoning_details": [{"type": "x"}]}})
    response = ChatResponse(id="1", model="m", choices=(Choice(parts=(kept,)),))
    told = CLIENT.encode_response(response, request_id="req_1", model="alias")["choices"][0]["message"]
    assert told["reasoning_details"] == [{"type": "x"}]


def test_a_stream_of_every_event_is_written() -> None:
    encoder = CLIENT.stream_encoder(request_id="req_1", model="alias", include_usage=True)
    custom = {OWN: {"type": "custom"}}
    events = [
        ResponseStarted(id="1", model="m", created=7),
        TextDelta(text="a", logprobs={"content": []}),
        ResponseStarted(id="1", model="m", created=9),
        RefusalDelta(text="no"),
        ReasoningDelta(text=""),
        ReasoningDelta(text="", provider_metadata={"anthropic": {"signature": "s"}}),
        ReasoningDelta(text="hm", provider_metadata={OWN: {}}),
        ToolCallStarted(index=0, id="c", name="f", provider_metadata={"gemini": {"x": 1}}),
        ToolCallDelta(index=0, arguments="{}"),
        ToolCallStarted(index=1, id="d", name="g", provider_metadata=custom),
        ToolCallDelta(index=1, arguments="free"),
        UsageReported(usage=Usage(input_tokens=1, output_tokens=1)),
        Finished(reason="tool_calls"),
    ]
    told = b"".join(encoder.encode(event) for event in events) + encoder.finish()  # type: ignore[arg-type]  # events of all kinds
    chunks = [json.loads(line[6:]) for line in told.split(b"\n") if line.startswith(b"data: {")]
    deltas = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
    assert {one["created"] for one in chunks} == {7}
    assert deltas[-2]["tool_calls"] == [{"index": 1, "custom": {"input": "free"}}]
    assert any("reasoning_details" in delta for delta in deltas)
    assert told.endswith(b"data: [DONE]\n\n") and chunks[-1]["usage"]["total_tokens"] == 2
    silent = CLIENT.stream_encoder(request_id="req_1", model="alias", include_usage=False)
    silent.continue_at(5)  # type: ignore[attr-defined]  # this encoder's alone
    assert b'"created":5' in silent.encode(TextDelta(text="a"))
    assert silent.finish() == b"data: [DONE]\n\n"
    broken = silent.error(QuotaExceededError("p has no money"), request_id="r")
    assert CLIENT.encode_error(QuotaExceededError("x"), request_id="r")["error"]["code"] == "insufficient_quota"
    assert json.loads(broken[6:])["error"]["type"] == "insufficient_quota"


# --- the pass-through ----------------------------------------------------------------------------------------------


def test_what_a_tap_cannot_forward_is_an_error_each_time_it_is_asked() -> None:
    for odd in (b"data: [1]\n\n", b'{"choices":[]}', b'{"error":{"message":"no"}}', b"event: error\ndata: {}\n\n"):
        tap = ChatStreamTap(TARGET)
        with pytest.raises(LLMError):
            tap.feed(odd)
            tap.close()
        for again in (lambda tap=tap: tap.feed(WHOLE), tap.close):
            with pytest.raises(LLMError):
                again()


def test_a_tap_passes_comments_and_keeps_what_comes_after_the_end() -> None:
    tap = ChatStreamTap(TARGET)
    out = run(tap, [b": hello\n\n" + WHOLE + b": late\n\n" + body_of(chunk())])
    assert out == b": hello\n\n" + WHOLE
    quiet = ChatStreamTap(TARGET, ends=False)
    assert b"[DONE]" not in run(quiet, [WHOLE]) and quiet.usage.output_tokens == 2
    assert ChatStreamTap(TARGET).usage == Usage()


def test_a_tap_renames_id_and_model_however_they_are_written() -> None:
    for body in (
        WHOLE,
        WHOLE.replace(b'":', b'": '),
        WHOLE.replace(b'"model"', b'"model" '),
        body_of({**chunk(), "model": None}, chunk("stop")),
        body_of({**chunk(), "id": "mine"}, chunk("stop")),
        body_of(chunk(), {**chunk(), "x": '"model":"real"'}, chunk("stop")),
        body_of({"choices": []}, {"choices": [5]}, chunk(), chunk("stop")),
        body_of(chunk(created=7), {**chunk("stop"), "choices": [{"index": "x", "finish_reason": "stop"}]}),
    ):
        for pieces in ([body], [body[n : n + 1] for n in range(len(body))]):
            tap = ChatStreamTap(TARGET, model="alias", answer_id="mine", include_usage=False)
            told = [json.loads(line[6:]) for line in run(tap, pieces).split(b"\n") if line.startswith(b"data: {")]
            assert {one.get("model", "alias") for one in told} == {"alias"}
            assert {one.get("id") for one in told} == {"mine"}
            assert tap.finish_reasons == {0: "stop"}


def test_a_block_that_is_not_what_it_seems_is_read_event_by_event() -> None:
    tap = ChatStreamTap(TARGET, model="alias")
    assert tap.feed(body_of(chunk(), done=False))
    said = b"data: " + dump_json(chunk()) + b"\n\n"
    assert tap.feed(said * 2).count(b'"alias"') == 2
    assert tap.feed(said.replace(b"\n\n", b"\nid: 5\n\n") * 2).count(b'"alias"') == 2
    twice = said.replace(b'"usage":null', b'"a":{"model":"real"}')
    nameless = b"data: " + dump_json({"choices": []}) + b"\n\n"
    told = tap.feed(twice + nameless)
    assert told.count(b'"model":"alias"') == 1 and told.count(b'"a":{"model":"real"}') == 1
    assert tap.feed(said + nameless).count(b'"alias"') == 1
    assert tap.feed(b"data: " + dump_json(chunk("stop")) + b"\n\n: cut") and tap.close() == b"data: [DONE]\n\n"


def test_what_was_said_is_found_in_forwarded_bytes() -> None:
    said = body_of({"choices": [{"delta": {"content": 'a "b"', "tool_calls": [{"function": {"arguments": "{}"}}]}}]})
    assert is_said(said) and not is_said(body_of({"choices": [{"delta": {"content": ""}}]}, done=False))
    assert read_text(said.replace(b'": ', b'":')) == 'a "b"{}'
    assert reshapes(b'{"reasoning": "x"}') and not reshapes(b'{"content": "x"}')
    assert rewrite_model(b"[1]", "alias") == b"[1]"
