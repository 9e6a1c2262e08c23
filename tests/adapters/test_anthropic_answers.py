"""What the hub writes to Anthropic's clients, read by their own SDK, and the stream encoder's rules."""

from __future__ import annotations

import json
import random
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from adapters.errors import (
    AuthenticationError,
    ContextLengthExceededError,
    InvalidRequestError,
    LLMError,
    RateLimitedError,
    UnsupportedFeatureError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from adapters.types import (
    ChatResponse,
    Choice,
    Finished,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
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
from tests.adapters.replay import assembled, calls_of, decode, finished, last_usage
from tests.adapters.test_anthropic_client import CLIENT, PROVIDER, TARGET, arguments, parse

# --- answers and streams, read by Anthropic's SDK ------------------------------------------------------------------

EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def written(*events: StreamEvent) -> bytes:
    encoder = CLIENT.stream_encoder(request_id="req_1", model="alias", include_usage=True)
    return b"".join(encoder.encode(event) for event in events) + encoder.finish()


def sdk_stream(body: bytes) -> Any:
    """The message that the official SDK assembles from `body`, through its own streaming helper."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    with (
        sdk(answer) as client,
        client.messages.stream(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}]) as stream,
    ):
        return stream.get_final_message()


def sdk(answer: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key="k",
        base_url="http://hub.test",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    )


def test_the_sdk_reads_our_stream() -> None:
    body = written(
        ResponseStarted(id="chatcmpl-1", model="gpt"),
        UsageReported(usage=Usage(input_tokens=20, cache_read_tokens=5)),
        ReasoningDelta(text="hm"),
        ReasoningDelta(text=" hm", provider_metadata={"anthropic": {"signature": "SIG"}}),
        TextDelta(text="Hel"),
        TextDelta(text="lo\u2028"),
        ToolCallStarted(index=0, id="call.1", name="f"),
        ToolCallDelta(index=0, arguments='{"a":'),
        ToolCallDelta(index=0, arguments="1}"),
        ToolCallStarted(index=1, id="call_2", name="g"),
        ToolCallDelta(index=1, arguments="{}"),
        Finished(reason="tool_calls", raw_reason="tool_calls"),
        UsageReported(usage=Usage(input_tokens=20, cache_read_tokens=5, output_tokens=9, reasoning_tokens=3)),
    )
    for line in body.decode().split("\n"):
        if line.startswith("data: ") and '"ping"' not in line:
            EVENTS.validate_json(line[6:])
    message = sdk_stream(body)
    thinking, text, first, second = message.content
    assert (thinking.thinking, thinking.signature, text.text) == ("hm hm", "SIG", "Hello\u2028")
    assert (first.name, first.input, second.name, second.input) == ("f", {"a": 1}, "g", {})
    assert first.id != "call.1" and second.id == "call_2"
    assert (message.id, message.model, message.stop_reason) == ("msg_req_1", "alias", "tool_use")
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (15, 5, 9)
    assert usage.output_tokens_details.thinking_tokens == 3


def test_the_sdk_reads_our_answer() -> None:
    answer = ChatResponse(
        id="chatcmpl-1",
        model="gpt",
        choices=(
            Choice(
                parts=(ReasoningPart(text="hm"), TextPart(text="hi"), ToolCall(id="c1", name="f", arguments='{"a":1}')),
                finish_reason="length",
                raw_finish_reason="length",
            ),
        ),
        usage=Usage(input_tokens=4, output_tokens=2),
    )
    body = CLIENT.encode_response(answer, request_id="req_1", model="alias")
    with sdk(lambda request: httpx2.Response(200, json=body)) as client:
        message = client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("max_tokens", 4, 2)
    anthropic.types.Message.model_validate(body)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequestError("bad", param="messages.0"), 400, "invalid_request_error"),
        (UnsupportedFeatureError("no", param="n"), 400, "invalid_request_error"),
        (RateLimitedError("slow", retry_after_s=3), 429, "rate_limit_error"),
        (UpstreamTimeoutError("late"), 504, "timeout_error"),
        (UpstreamUnavailableError("busy", upstream_status=529, upstream_message="SECRET"), 502, "overloaded_error"),
        (AuthenticationError("the provider did not accept the key", upstream_message="SECRET"), 502, "api_error"),
    ],
)
def test_the_sdk_reads_our_errors(error: LLMError, status: int, kind: str) -> None:
    body = CLIENT.encode_error(error, request_id="req_1")
    assert "SECRET" not in json.dumps(body)
    answer = httpx2.Response(error.status, json=body)
    with sdk(lambda request: answer) as client, pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
    assert (raised.value.status_code, raised.value.type) == (status, kind)
    assert raised.value.body == body
    assert error.message in raised.value.message


def test_the_sdk_sees_an_error_in_the_middle_of_a_stream() -> None:
    encoder = CLIENT.stream_encoder(request_id="req_1", model="alias", include_usage=True)
    body = encoder.encode(ResponseStarted(id=None, model="m")) + encoder.encode(TextDelta(text="hal"))
    body += encoder.error(UpstreamProtocolError("the stream was cut short"), request_id="req_1")
    assert b"message_stop" not in body and b"message_delta" not in body
    with pytest.raises(anthropic.APIStatusError) as raised:
        sdk_stream(body)
    assert "cut short" in str(raised.value)


def test_a_prompt_too_long_says_so_in_the_words_that_clients_look_for() -> None:
    body = CLIENT.encode_error(ContextLengthExceededError("the model takes 10 tokens"), request_id="r")
    assert body["error"]["message"] == "prompt is too long: the model takes 10 tokens"


# --- the stream encoder's own rules --------------------------------------------------------------------------------


def names(body: bytes) -> list[str]:
    return [line[7:].decode() for line in body.split(b"\n") if line.startswith(b"event: ")]


def read_back(body: bytes) -> list[StreamEvent]:
    events, error = decode(PROVIDER.stream_decoder(TARGET), [body])
    assert error is None
    return events


def test_an_empty_answer_is_still_a_whole_stream() -> None:
    assert names(written()) == ["message_start", "ping", "message_delta", "message_stop"]
    assert finished(read_back(written(Finished(reason="content_filter")))).raw_reason == "refusal"


def test_one_block_is_open_at_a_time_and_indices_have_no_gaps() -> None:
    body = written(
        TextDelta(text="a"), ReasoningDelta(text="b"), TextDelta(text=""), RefusalDelta(text="c"), TextDelta(text="d")
    )
    data = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]
    indices = [(event["type"], event["index"]) for event in data if "index" in event]
    open_now: int | None = None
    for kind, index in indices:
        if kind == "content_block_start":
            assert open_now is None
            open_now = index
        assert index == open_now
        if kind == "content_block_stop":
            open_now = None
    assert sorted({index for _, index in indices}) == [0, 1, 2]


def test_thinking_nobody_signed_comes_back_as_thinking_anthropic_never_sees() -> None:
    body = written(ReasoningDelta(text="theirs"), TextDelta(text="a"), Finished(reason="stop"))
    (block, _) = sdk_stream(body).content
    turn = {"role": "assistant", "content": [block.model_dump(), {"type": "text", "text": "a"}]}
    request = parse(messages=[{"role": "user", "content": "hi"}, turn])
    assert request.messages[1].parts[0] == ReasoningPart(text="theirs")
    sent = json.loads(PROVIDER.build_request(request, TARGET, stream=False).body)
    assert sent["messages"][1]["content"] == [{"type": "text", "text": "a"}]


def test_calls_streamed_side_by_side_are_written_one_after_another() -> None:
    body = written(
        ToolCallStarted(index=0, id="a", name="f"),
        ToolCallStarted(index=1, id="b", name="g"),
        ToolCallDelta(index=1, arguments='{"y"'),
        ToolCallDelta(index=0, arguments='{"x":'),
        ToolCallDelta(index=1, arguments=":2}"),
        TextDelta(text="after"),
        ToolCallDelta(index=0, arguments="1}"),
        ToolCallStarted(index=2, id="c", name="h"),
        ToolCallDelta(index=2, arguments='{"cut'),
        Finished(reason="length"),
    )
    events = read_back(body)
    assert calls_of(events) == [("f", '{"x":1}'), ("g", '{"y":2}'), ("h", '{"cut')]
    assert [type(part).__name__ for part in assembled(events)] == ["ToolCall", "ToolCall", "TextPart", "ToolCall"]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), bodies=st.lists(arguments, min_size=1, max_size=4))
def test_any_interleaving_of_calls_keeps_every_calls_arguments(seed: int, bodies: list[str]) -> None:
    source = random.Random(seed)
    waiting = [[body[:3], body[3:5], body[5:]] for body in bodies]
    events: list[StreamEvent] = []
    started: list[int] = []
    while any(waiting) or len(started) < len(bodies):
        left = [index for index in started if waiting[index]]
        if len(started) < len(bodies) and (not left or source.random() < 0.5):
            events.append(ToolCallStarted(index=len(started), id=f"t{len(started)}", name=f"f{len(started)}"))
            started.append(len(started))
        else:
            index = source.choice(left)
            events.append(ToolCallDelta(index=index, arguments=waiting[index].pop(0)))
    assert calls_of(read_back(written(*events))) == [(f"f{index}", body) for index, body in enumerate(bodies)]


def test_only_the_first_choice_is_written() -> None:
    body = written(TextDelta(text="a"), TextDelta(text="b", choice=1), Finished(reason="length", choice=1))
    assert b'"b"' not in body and b"max_tokens" not in body


def test_usage_is_uncached_and_cumulative() -> None:
    usage = Usage(
        input_tokens=1320, output_tokens=9, cache_read_tokens=1217, cache_write_tokens=100, cache_write_1h_tokens=60
    )
    body = written(ResponseStarted(id="msg_7", model="m"), UsageReported(usage=usage), Finished(reason="stop"))
    found = last_usage(read_back(body))
    assert found.raw["input_tokens"] == 3
    assert found.raw["cache_creation"] == {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60}
    assert (found.input_tokens, found.output_tokens) == (1320, 9)
    assert read_back(body)[0] == ResponseStarted(id="msg_7", model="alias")
