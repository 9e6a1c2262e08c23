"""What OpenAI's chat codec reads: whole answers, streams, model lists, embeddings and images."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.errors import (
    ConfigurationError,
    InvalidRequestError,
    LLMError,
    UpstreamProtocolError,
    UpstreamUnavailableError,
)
from adapters.types import (
    EmbeddingRequest,
    Finished,
    ImageRequest,
    ReasoningDelta,
    ReasoningPart,
    StreamEvent,
    Target,
    TextDelta,
    TextPart,
    ToolCallStarted,
    UsageReported,
    WireResponse,
)
from adapters.wire_json import dump_json, read_json
from tests.adapters.test_openai_chat import CODEC, target

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
