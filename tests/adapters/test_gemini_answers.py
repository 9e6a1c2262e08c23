"""What we read from Gemini: answers, streams and errors. Bodies here are synthetic, after Google's documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.errors import (
    LLMError,
    UpstreamProtocolError,
)
from adapters.gemini_partial_args import PartialArguments
from adapters.types import (
    AudioPart,
    FilePart,
    ImagePart,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from tests.adapters.gemini_values import (
    CODEC,
    answer,
    error_of,
    read,
    sse,
    target_for,
)
from tests.adapters.replay import assert_splits_agree, calls_of, decode, finished, last_usage, reasoning_of, text_of

# --- answers -------------------------------------------------------------------------------------------------------


def test_trap_32_a_call_that_ends_with_stop_finished_for_its_tools() -> None:
    reply = read(answer({"functionCall": {"name": "weather", "args": {}}}))
    assert (reply.finish_reason, reply.choices[0].raw_finish_reason) == ("tool_calls", "STOP")
    assert reply.tool_calls[0].id.startswith("call_")


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        ({"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}, "length"),
        ({"content": {}, "finishReason": "SAFETY"}, "content_filter"),
        ({"finishReason": "MODEL_ARMOR", "finishMessage": "no"}, "content_filter"),
        ({"content": {"parts": [{"text": "x"}]}, "finishReason": "LANGUAGE"}, "other"),
        ({"content": {"parts": [{"text": "x"}]}}, "stop"),
        ({"finishReason": 2}, "length"),
    ],
)
def test_trap_42_empty_answers_are_answers(candidate: dict[str, Any], reason: str) -> None:
    assert read({"candidates": [candidate]}).finish_reason == reason


def test_trap_43_an_unexpected_tool_call_is_an_error_and_never_a_call() -> None:
    body = answer({"functionCall": {"name": "x", "args": {}}}, finish="UNEXPECTED_TOOL_CALL")
    with pytest.raises(UpstreamProtocolError) as raised:
        read(body)
    assert (raised.value.upstream_code, raised.value.retryable) == ("UNEXPECTED_TOOL_CALL", True)
    events, error = decode(CODEC.stream_decoder(target_for()), [sse(body)])
    assert isinstance(error, UpstreamProtocolError)
    assert not any(isinstance(event, ToolCallStarted) for event in events)
    assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), sse(body))


def test_calls_of_an_answer_that_a_filter_cut_do_not_run() -> None:
    assert read(answer({"functionCall": {"name": "x", "args": {}}}, finish="SAFETY")).tool_calls == ()


def test_a_blocked_prompt_is_an_answer_without_content() -> None:
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
    reply = read(body)
    assert (reply.finish_reason, reply.choices[0].raw_finish_reason, reply.parts) == ("content_filter", "SAFETY", ())
    events, error = decode(CODEC.stream_decoder(target_for()), [sse(body)])
    assert error is None and finished(events).reason == "content_filter"


@pytest.mark.parametrize("body", [{}, [], {"candidates": []}, "x"])
def test_a_body_without_an_answer_is_a_protocol_error(body: Any) -> None:
    with pytest.raises(UpstreamProtocolError):
        read(body)


def test_trap_49_thoughts_are_output_and_tool_pages_are_input() -> None:
    usage = read(
        answer(
            {"text": "x"},
            usageMetadata={
                "promptTokenCount": 10,
                "toolUsePromptTokenCount": 5,
                "cachedContentTokenCount": 4,
                "candidatesTokenCount": 3,
                "thoughtsTokenCount": 20,
                "promptTokensDetails": [{"modality": "IMAGE", "tokenCount": 6}],
                "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}],
            },
        )
    ).usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (15, 23, 20)
    assert (usage.cache_read_tokens, usage.image_input_tokens, usage.audio_output_tokens) == (4, 6, 2)
    assert usage.cache_write_tokens is None and usage.image_output_tokens is None


def test_counts_that_are_not_there_are_not_zero() -> None:
    usage = read(answer({"text": "x"}, usageMetadata={"promptTokenCount": 8, "totalTokenCount": 8})).usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (8, None, None)


def test_media_that_the_model_made_are_parts() -> None:
    def inline(media_type: str) -> dict[str, Any]:
        return {"inlineData": {"mimeType": media_type, "data": "_w=="}}

    parts = read(answer(inline("image/png"), inline("audio/wav"), inline("text/csv"))).parts
    assert parts == (
        ImagePart(media_type="image/png", data=b"\xff"),
        AudioPart(data=b"\xff", format="wav"),
        FilePart(media_type="text/csv", data=b"\xff"),
    )
    with pytest.raises(UpstreamProtocolError):
        read(answer({"inlineData": {"mimeType": "image/png", "data": "!"}}))


def test_log_probabilities_are_in_openais_shape() -> None:
    token = {"token": "é", "logProbability": -0.5}
    candidate = answer({"text": "é"})["candidates"][0] | {
        "logprobsResult": {"chosenCandidates": [token], "topCandidates": [{"candidates": [token]}]}
    }
    expected = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    logprobs = {"content": [{**expected, "top_logprobs": [expected]}]}
    assert read({"candidates": [candidate]}).choices[0].logprobs == logprobs
    events, _ = decode(CODEC.stream_decoder(target_for()), [sse({"candidates": [candidate]})])
    assert [event.logprobs for event in events if isinstance(event, TextDelta)] == [logprobs]


def test_several_candidates_are_choices() -> None:
    one, two = answer({"text": "a"})["candidates"][0], answer({"text": "b"})["candidates"][0] | {"index": 1}
    assert [choice.index for choice in read({"candidates": [one, two]}).choices] == [0, 1]
    events, error = decode(CODEC.stream_decoder(target_for()), [sse({"candidates": [two]}, {"candidates": [one]})])
    assert error is None
    assert [(event.choice, event.text) for event in events if isinstance(event, TextDelta)] == [(1, "b"), (0, "a")]


def test_grounding_goes_along() -> None:
    body = answer({"text": "x"})
    body["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["q"]}
    assert read(body).provider_metadata["gemini"]["groundingMetadata"] == {"webSearchQueries": ["q"]}
    events, _ = decode(CODEC.stream_decoder(target_for()), [sse(body)])
    assert finished(events).provider_metadata["gemini"]["groundingMetadata"] == {"webSearchQueries": ["q"]}


# --- streams -------------------------------------------------------------------------------------------------------


def partial(text: str, **usage: int) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": text}]}}], "usageMetadata": usage}


def test_the_last_chunks_counts_stand() -> None:
    body = sse(
        partial("a", promptTokenCount=89, totalTokenCount=89),
        partial("\u2028b", promptTokenCount=89, candidatesTokenCount=1, thoughtsTokenCount=7),
        answer({"text": ""}, usageMetadata={"promptTokenCount": 121, "candidatesTokenCount": 9}),
    )
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body)
    assert text_of(events) == "a\u2028b"
    usage = last_usage(events)
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (121, 16, 7)


def test_thoughts_and_text_are_told_apart() -> None:
    body = sse(
        {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True, "thoughtSignature": "T"}]}}]},
        answer({"text": "yes", "thoughtSignature": "S"}),
    )
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body)
    assert (reasoning_of(events), text_of(events)) == ("hm", "yes")


def test_trap_22_the_array_of_a_stream_without_sse_is_read() -> None:
    body = json.dumps([partial("a"), answer({"text": "b"})], indent=1).encode()
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), b"\n" + body)
    assert text_of(events) == "ab"


def test_trap_34_arguments_in_pieces_are_put_together() -> None:
    def piece(call: Any, finish: str | None = None) -> dict[str, Any]:
        candidate = {"content": {"parts": [{"functionCall": call}]}}
        return {"candidates": [candidate | ({"finishReason": finish} if finish else {})]}

    city = {"jsonPath": "$.where[0].city", "stringValue": "Bo", "willContinue": True}
    body = sse(
        piece({"name": "weather", "id": "w", "willContinue": True}),
        piece({"partialArgs": [city], "willContinue": True}),
        piece({"partialArgs": [{"jsonPath": "$.where[0].city", "stringValue": "nn"}], "willContinue": True}),
        piece({"partialArgs": [{"jsonPath": "$['days']", "numberValue": 2}], "willContinue": True}),
        piece({"partialArgs": [{"jsonPath": "$.dry", "nullValue": "NULL_VALUE"}]}),
        piece({"name": "weather", "willContinue": True}),  # its end is missing
        answer({"text": "ok"}),
    )
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body)
    assert calls_of(events) == [("weather", '{"where":[{"city":"Bonn"}],"days":2,"dry":null}'), ("weather", "{}")]
    assert finished(events).reason == "tool_calls"


@pytest.mark.parametrize("path", ["where", "$", "$.a b[", "$[x].a", "$.a.b", "$[0]", "$.list[99999]"])
def test_a_path_that_can_not_be_followed_is_a_protocol_error(path: str) -> None:
    arguments = PartialArguments()
    arguments.add([{"jsonPath": "$.a", "numberValue": 1}, {"jsonPath": "$.list[0]", "numberValue": 1}, "x"])
    arguments.add([{"jsonPath": "$.nothing"}])
    with pytest.raises(UpstreamProtocolError):
        arguments.add([{"jsonPath": path, "numberValue": 1}])


@pytest.mark.parametrize("body", [b"", b" \n", sse(partial("a")), sse({"usageMetadata": {"promptTokenCount": 1}})])
def test_a_stream_without_its_end_is_an_error(body: bytes) -> None:
    _, error = decode(CODEC.stream_decoder(target_for()), [body])
    assert isinstance(error, UpstreamProtocolError) and error.provider == ""


@pytest.mark.parametrize("as_sse", [True, False])
def test_an_error_inside_a_stream_is_raised_after_what_came_before(as_sse: bool) -> None:
    broken = {"error": {"code": 503, "message": "key=secret", "status": "UNAVAILABLE"}}
    body = sse(partial("a", promptTokenCount=2), broken) if as_sse else json.dumps(broken).encode()
    events, error = decode(CODEC.stream_decoder(target_for()), [body])
    assert error is not None and (error.code, error.upstream_status) == ("upstream_unavailable", 503)
    assert "secret" not in str(error)
    assert text_of(events) == ("a" if as_sse else "")
    assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), body)


def test_what_a_stream_can_not_say_goes_whole() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    events, error = decode(CODEC.stream_decoder(target_for()), [sse(answer(picture))])
    assert error is None
    kept = [event.provider_metadata for event in events if isinstance(event, TextDelta)]
    assert kept == [{"gemini": {"part": picture}}]


def test_a_broken_end_still_tells_its_tokens() -> None:
    body = answer({"text": "x"}, finish="MALFORMED_FUNCTION_CALL", usageMetadata={"promptTokenCount": 5})
    events, error = decode(CODEC.stream_decoder(target_for()), [sse(body)])
    assert isinstance(error, UpstreamProtocolError)
    assert any(isinstance(event, UsageReported) for event in events)
    assert not any(isinstance(event, ToolCallStarted) for event in events)


# --- errors --------------------------------------------------------------------------------------------------------


def wrong(status: int, name: str, message: str = "", *details: Any) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": name, "details": list(details)}}


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, wrong(400, "INVALID_ARGUMENT", "bad", {"reason": "API_KEY_INVALID"}), "upstream_authentication"),
        (400, wrong(400, "INVALID_ARGUMENT", "API key not valid."), "upstream_authentication"),
        (400, wrong(400, "INVALID_ARGUMENT", "The input token count (9) exceeds"), "context_length_exceeded"),
        (400, wrong(400, "INVALID_ARGUMENT", "x"), "invalid_request"),
        (400, wrong(400, "FAILED_PRECONDITION", "User location is not supported"), "upstream_permission_denied"),
        (400, wrong(400, "FAILED_PRECONDITION", "enable billing"), "upstream_quota_exceeded"),
        (401, wrong(401, "UNAUTHENTICATED"), "upstream_authentication"),
        (402, wrong(402, "RESOURCE_EXHAUSTED"), "upstream_quota_exceeded"),
        (403, wrong(403, "PERMISSION_DENIED"), "upstream_permission_denied"),
        (404, wrong(404, "NOT_FOUND"), "upstream_model_not_found"),
        (429, [wrong(429, "RESOURCE_EXHAUSTED")], "upstream_rate_limited"),
        (499, wrong(499, "CANCELLED"), "upstream_unavailable"),
        (500, b"<html>", "upstream_unavailable"),
        (504, wrong(504, "DEADLINE_EXCEEDED"), "upstream_timeout"),
        (400, {"error": "text"}, "invalid_request"),
    ],
)
def test_errors_are_classified(status: int, body: Any, code: str) -> None:
    assert error_of(status, body).code == code


def test_trap_2_a_bad_key_is_a_400_in_plain_json_under_an_event_streams_type() -> None:
    body = wrong(400, "INVALID_ARGUMENT", "API key not valid. sk-123", {"reason": "API_KEY_INVALID"})
    error = error_of(400, body, **{"content-type": "text/event-stream"})
    assert (error.code, error.upstream_code, error.retryable) == ("upstream_authentication", "API_KEY_INVALID", False)
    assert "sk-123" not in str(error)


def test_trap_3_the_wait_is_in_the_details_and_a_days_quota_is_not_waited_for() -> None:
    retry = {"retryDelay": "34.4s"}
    minute = {"violations": [{"quotaId": "RequestsPerMinutePerModel"}]}
    day = {"violations": [{"quotaId": "RequestsPerDayPerModel"}]}
    limited = error_of(429, wrong(429, "RESOURCE_EXHAUSTED", "", minute, retry))
    assert (limited.code, limited.retry_after_s, limited.retryable) == ("upstream_rate_limited", 34.4, True)
    spent = error_of(429, wrong(429, "RESOURCE_EXHAUSTED", "", day, retry))
    assert (spent.code, spent.retry_after_s, spent.retryable) == ("upstream_quota_exceeded", None, False)
    assert error_of(429, wrong(429, "RESOURCE_EXHAUSTED")).retry_after_s is None


def test_an_error_under_200_is_an_error() -> None:
    with pytest.raises(LLMError) as raised:
        read({"error": {"status": "PERMISSION_DENIED", "message": "x"}})
    assert raised.value.code == "upstream_permission_denied"


def test_enums_may_be_numbers_and_odd_fields_are_passed_over() -> None:
    assert read({"promptFeedback": {"blockReason": 1}}).choices[0].raw_finish_reason == "1"
    candidate = answer({"text": "x"})["candidates"][0] | {"logprobsResult": {"chosenCandidates": ["odd"]}}
    assert read({"candidates": [candidate]}).choices[0].logprobs == {"content": []}
    body = sse(
        {"usageMetadata": {"trafficType": "ON_DEMAND"}, "candidates": ["odd"]},
        {"candidates": [{"logprobsResult": {"chosenCandidates": [{"token": "a"}]}}]},
        answer({"text": "x"}, {"functionCall": {"partialArgs": "odd"}}, {"text": ""}),
        answer({"text": "behind the end"}),
    )
    events = assert_splits_agree(lambda: CODEC.stream_decoder(target_for()), b": comment\n\n" + body[:-4])
    assert text_of(events) == "x" and finished(events).reason == "stop"


def test_an_event_that_is_no_object_is_a_protocol_error() -> None:
    _, error = decode(CODEC.stream_decoder(target_for()), [b"data: [1]\n\n"])
    assert isinstance(error, UpstreamProtocolError)
    decoder = CODEC.stream_decoder(target_for())
    with pytest.raises(UpstreamProtocolError):
        decoder.feed(b"{" + b" " * (17 * 1024 * 1024))
