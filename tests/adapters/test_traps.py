"""What recordings show that naive adapters get wrong, a test a row: those that no dialect's own file has by its number.

Bodies are synthetic, cut down to what trips: the recordings themselves are replayed in the `*_recordings.py` files.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.anthropic import AnthropicCodec
from adapters.create import codec_for
from adapters.errors import InvalidRequestError, LLMError, ModelNotFoundError
from adapters.kinds import profile_for
from adapters.openai_responses import OpenAIResponsesCodec
from adapters.types import (
    ChatRequest,
    EmbeddingRequest,
    Message,
    ReasoningDelta,
    ResponseStarted,
    StreamEvent,
    Target,
    TextDelta,
    TextPart,
    ToolCallStarted,
    UsageReported,
    WireResponse,
)
from tests.adapters.replay import (
    assert_splits_agree,
    calls_of,
    decode,
    finished,
    last_usage,
    reasoning_of,
    text_of,
)

HELLO = (Message(role="user", parts=(TextPart(text="Hi"),)),)


def target_for(kind: str, model: str = "m") -> Target:
    address = "https://api.test/v1"
    return Target(kind=kind, base_url=address, api_key="k", model=model, profile=profile_for(kind, model), provider="p")


def framed(*values: Any, done: bool = True, lead: bytes = b"data: ") -> bytes:
    frames = [value if isinstance(value, bytes) else lead + json.dumps(value).encode() + b"\n\n" for value in values]
    return b"".join(frames) + (b"data: [DONE]\n\n" if done else b"")


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]} | fields


def streamed(kind: str, *values: Any, done: bool = True, lead: bytes = b"data: ") -> list[StreamEvent]:
    body = framed(*values, done=done, lead=lead)
    return assert_splits_agree(lambda: codec_for(kind).stream_decoder(target_for(kind)), body)


def whole(kind: str, body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return codec_for(kind).parse_response(WireResponse(status=200, headers={}, body=data), target_for(kind))


def said(message: dict[str, Any], finish: str | None = "stop", **fields: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}]} | fields


def refused(kind: str, status: int, body: Any) -> LLMError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return codec_for(kind).parse_error(WireResponse(status=status, headers={}, body=data), target_for(kind))


def call(**fields: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [fields]})


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}

# --- A. errors -----------------------------------------------------------------------------------------------------


def test_trap_1_an_unknown_model_is_404_on_chat_and_400_on_responses() -> None:
    body = {"error": {"message": "x", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}}
    assert isinstance(refused("openai", 404, body), ModelNotFoundError)
    response = WireResponse(status=400, headers={}, body=json.dumps(body).encode())
    assert isinstance(OpenAIResponsesCodec().parse_error(response, target_for("openai")), ModelNotFoundError)


def test_trap_4_a_named_error_event_ends_an_openai_shaped_stream() -> None:
    error = {"error": {"message": "x", "type": "invalid_request_error", "status_code": 400}}
    body = framed(chunk({"content": "a"}), b"event: error\n" + framed(error, done=False), done=False)
    events, found = decode(codec_for("groq").stream_decoder(target_for("groq")), [body])
    assert text_of(events) == "a"
    assert isinstance(found, InvalidRequestError) and found.upstream_status == 400


def test_trap_5_a_model_that_wrote_a_broken_call_may_be_asked_again() -> None:
    body = {"error": {"message": "x", "code": "tool_use_failed", "failed_generation": "<function=f>"}}
    assert refused("groq", 400, body).retryable


def test_trap_6_an_error_beside_choices_after_a_finish_is_an_error() -> None:
    last = chunk({}, "length", error={"code": 400, "message": "x"}, usage=USAGE)
    body = framed(chunk({"content": "a"}, "length"), chunk({}, "length"), last)
    events, error = decode(codec_for("openrouter").stream_decoder(target_for("openrouter")), [body])
    assert isinstance(error, InvalidRequestError)
    assert text_of(events) == "a"


def test_trap_7_a_code_may_be_a_number_and_the_reason_is_in_the_metadata() -> None:
    metadata = {"raw": "planted words", "provider_name": "Acme"}
    error = refused("openrouter", 429, {"error": {"message": "x", "code": 429, "metadata": metadata}, "user_id": "u_7"})
    assert (error.code, error.upstream_code) == ("upstream_rate_limited", "429")
    assert "planted words" in str(error.upstream_message) and "u_7" not in str(error.upstream_message)
    assert "planted words" not in str(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": "Invalid token"}),
        (400, {"error": ["missing input"]}),
        (422, {"error": "Input validation error", "error_type": "validation"}),
        (422, b"Failed to deserialize the JSON body into the target type"),
    ],
)
def test_trap_10_an_error_may_be_a_text_a_list_an_object_or_no_json(status: int, body: Any) -> None:
    error = refused("huggingface", status, body)
    assert error.code == ("upstream_authentication" if status == 401 else "invalid_request")
    assert error.upstream_message


def test_trap_11_an_error_is_a_bare_string_also_in_the_middle_of_a_stream() -> None:
    assert isinstance(refused("ollama", 404, {"error": "model 'x' not found"}), ModelNotFoundError)
    lines = b'{"model":"m","message":{"content":"a"},"done":false}\n{"error":"it broke"}\n'
    events, error = decode(codec_for("ollama").stream_decoder(target_for("ollama")), [lines])
    assert (text_of(events), getattr(error, "code", None)) == ("a", "upstream_unavailable")


def test_trap_13_a_reasoning_models_refusals_are_known_before_and_read_after() -> None:
    target = target_for("openai", "o3-mini")
    request = ChatRequest(messages=HELLO, max_output_tokens=5, temperature=0.5)
    wire = codec_for("openai").build_request(request, target, stream=False)
    assert json.loads(wire.body).keys() & {"max_tokens", "temperature", "max_completion_tokens"} == {
        "max_completion_tokens"
    }
    assert any("temperature" in warning for warning in wire.warnings)
    body = {"error": {"message": "x", "type": "invalid_request_error", "param": "stop", "code": None}}
    assert refused("openai", 400, body).param == "stop"


def test_trap_14_an_effort_that_the_model_does_not_take_is_lowered() -> None:
    target = target_for("anthropic", "claude-opus-4-6")
    request = ChatRequest(messages=HELLO, reasoning_effort="xhigh", max_output_tokens=9000)
    sent = json.loads(AnthropicCodec().build_request(request, target, stream=False).body)
    assert sent["output_config"]["effort"] in ("high", "max")


# --- B. framing and order ------------------------------------------------------------------------------------------


def test_trap_16_comments_and_padding_say_nothing() -> None:
    note = b": OPENROUTER PROCESSING\n\n"
    events = streamed("openrouter", note, note, chunk({"content": "a"}), note, chunk({}, "stop"))
    assert isinstance(events[0], ResponseStarted) and text_of(events) == "a"
    assert whole("openrouter", b" \n" * 1400 + json.dumps(said({"content": "a"})).encode()).text == "a"


def test_trap_17_no_blank_after_the_colon_and_no_done() -> None:
    last = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "eos_token"}]}
    first = {"id": "c", "choices": [{"index": 0, "delta": {"content": "a"}}]}  # no finish_reason at all
    events = streamed("huggingface", first, last, done=False, lead=b"data:")
    assert (text_of(events), finished(events).reason) == ("a", "stop")


def test_trap_19_usage_stands_beside_choices_and_an_empty_delta_follows() -> None:
    events = streamed("mistral", chunk({"content": "a"}), chunk({}, "stop", usage=USAGE), chunk({}))
    assert last_usage(events).output_tokens == 4
    assert finished(events).reason == "stop"


def test_trap_20_usage_is_cumulative_and_may_hide_in_x_groq() -> None:
    one = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    events = streamed("openai_compatible", chunk({"content": "a"}, usage=one), chunk({}, "stop", usage=USAGE))
    assert [event.usage.output_tokens for event in events if isinstance(event, UsageReported)] == [1, 4]
    assert last_usage(streamed("groq", chunk({"content": "a"}, "stop", x_groq={"usage": USAGE}))).input_tokens == 9


def test_trap_21_a_missing_finish_is_inferred_and_an_empty_function_call_is_none() -> None:
    assert finished(streamed("openai_compatible", chunk({"content": "a"}))).reason == "stop"
    empty = {"function_call": {"name": "", "arguments": ""}, "audio": {"data": ""}, "custom": {"name": ""}}
    made = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = whole("openai_compatible", said({"content": "", "tool_calls": [made]} | empty, ""))
    assert (answer.finish_reason, [call.name for call in answer.tool_calls]) == ("tool_calls", ["f"])
    assert whole("openai_compatible", said({"content": "a"} | empty, "")).tool_calls == ()


def anthropic(*values: dict[str, Any]) -> list[StreamEvent]:
    start = {"type": "message_start", "message": {"id": "m1", "model": "m", "usage": {"input_tokens": 3}}}
    return streamed("anthropic", start, *values, done=False)


def block(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": fields}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind} | fields}


def ended(reason: str, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    last = {"type": "message_delta", "delta": {"stop_reason": reason} | fields, "usage": {"output_tokens": 9}}
    return last, {"type": "message_stop"}


PING = {"type": "ping"}
STOPPED = {"type": "content_block_stop", "index": 0}


def test_trap_25_pings_stand_anywhere_and_a_block_may_be_empty() -> None:
    text = (block(0, type="text", text=""), PING, delta(0, "text_delta", text="a"), PING, STOPPED, PING)
    events = anthropic(PING, *text, block(1, type="text", text=""), {"type": "unheard_of"}, *ended("end_turn"))
    assert (text_of(events), finished(events).reason) == ("a", "stop")


def test_trap_26_max_tokens_inside_a_call_leaves_it_cut() -> None:
    opened = block(0, type="tool_use", id="t", name="f", input={})
    events = anthropic(opened, delta(0, "input_json_delta", partial_json='{"a": "b'), *ended("max_tokens"))
    assert calls_of(events) == [("f", '{"a": "b')]
    assert finished(events).reason == "length"
    assert (last_usage(events).input_tokens, last_usage(events).output_tokens) == (3, 9)


# --- C. calls ------------------------------------------------------------------------------------------------------


def test_trap_27_calls_without_index_and_type_are_told_apart_by_id() -> None:
    one = {"id": "aaaaaaaaa", "function": {"name": "f", "arguments": '{"a":'}}
    two = {"function": {"name": "", "arguments": "1}"}}
    events = streamed("mistral", chunk({"tool_calls": [one]}), chunk({"tool_calls": [two]}, "tool_calls", usage=USAGE))
    assert calls_of(events) == [("f", '{"a":1}')]
    assert whole("mistral", said({"content": "", "tool_calls": [one]}, "tool_calls")).tool_calls[0].name == "f"


def test_trap_28_an_empty_id_opens_nothing_and_overwrites_nothing() -> None:
    first = call(index=0, id="c1", type="function", function={"name": "f", "arguments": ""})
    events = streamed("openai_compatible", first, call(index=0, id="", function={"arguments": "{}"}), chunk({}, "stop"))
    assert [event.id for event in events if isinstance(event, ToolCallStarted)] == ["c1"]
    assert calls_of(events) == [("f", "{}")]


def test_trap_29_a_first_index_of_one_is_numbered_from_zero() -> None:
    events = streamed(
        "openai_compatible", call(index=1, id="c1", function={"name": "f", "arguments": "{}"}), chunk({}, "stop")
    )
    assert [event.index for event in events if isinstance(event, ToolCallStarted)] == [0]


def test_trap_30_an_integer_for_an_id_and_an_object_for_arguments() -> None:
    made = {"id": 0, "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    answer = whole("huggingface", said({"tool_calls": [made]}, "eos_token"))
    (found,) = answer.tool_calls
    assert found.id.startswith("call_") and json.loads(found.arguments) == {"a": 1}
    assert (answer.finish_reason, answer.choices[0].raw_finish_reason) == ("tool_calls", "eos_token")


def test_trap_31_an_empty_id_a_signature_and_hidden_reasoning() -> None:
    signed = {"google": {"thought_signature": "c2ln"}}
    made = {"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": signed}
    usage = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    answer = whole("openai_compatible", said({"tool_calls": [made]}, "tool_calls", usage=usage))
    assert answer.tool_calls[0].id and answer.usage.reasoning_tokens == 62
    turn = Message(role="assistant", parts=answer.parts)
    result = Message(role="tool", tool_call_id=answer.tool_calls[0].id, parts=(TextPart(text="x"),))
    request = ChatRequest(messages=(*HELLO, turn, result))
    sent = codec_for("openai_compatible").build_request(request, target_for("openai_compatible"), stream=False)
    assert json.loads(sent.body)["messages"][1]["tool_calls"][0]["extra_content"] == signed


def test_trap_35_ollama_says_stop_beside_a_whole_call() -> None:
    message = {"content": "", "thinking": "hm", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}
    answer = whole("ollama", {"model": "m", "message": message, "done": True, "done_reason": "stop"})
    assert (answer.finish_reason, json.loads(answer.tool_calls[0].arguments)) == ("tool_calls", {"a": 1})


def test_trap_36_custom_calls_legacy_calls_and_several_choices() -> None:
    custom = {"id": "c1", "type": "custom", "custom": {"name": "k", "input": "free"}}
    answer = whole("openai", said({"content": None, "tool_calls": [custom]}, "tool_calls"))
    assert (answer.tool_calls[0].name, answer.tool_calls[0].arguments) == ("k", "free")
    legacy = said({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, "function_call")
    assert whole("openai", legacy).finish_reason == "tool_calls"
    ends = (chunk({}, "stop", 1), chunk({}, "stop", 0))
    events = streamed("openai", chunk({"content": "a"}), chunk({"content": "b"}, index=1), *ends)
    assert [event.choice for event in events if type(event).__name__ == "Finished"] == [1, 0]


def test_trap_37_no_arguments_are_an_empty_object() -> None:
    opened = block(0, type="tool_use", id="t", name="f", input={})
    events = anthropic(opened, delta(0, "input_json_delta", partial_json=""), STOPPED, *ended("tool_use"))
    assert calls_of(events) == [("f", "{}")]


def test_trap_38_server_tools_are_no_calls_and_a_pause_keeps_its_name() -> None:
    opened = block(0, type="server_tool_use", id="s", name="web_search", input={})
    events = anthropic(opened, delta(0, "input_json_delta", partial_json='{"q":1}'), STOPPED, *ended("pause_turn"))
    assert calls_of(events) == []
    assert (finished(events).raw_reason, finished(events).reason) == ("pause_turn", "stop")


# --- D. content ----------------------------------------------------------------------------------------------------


def test_trap_39_content_may_be_a_list_of_thoughts_and_texts() -> None:
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]
    events = streamed("mistral", chunk({"content": content}), chunk({"content": "b"}, "stop"))
    assert (text_of(events), reasoning_of(events)) == ("ab", "hm")
    assert whole("mistral", said({"content": content})).text == "a"


@pytest.mark.parametrize(
    ("kind", "field"),
    [("deepseek", "reasoning_content"), ("xai", "reasoning_content"), ("groq", "reasoning"), ("vllm", "reasoning")],
)
def test_trap_40_reasoning_has_many_names_and_is_told_once(kind: str, field: str) -> None:
    events = streamed(kind, chunk({"content": None, field: "hm"}), chunk({"content": "a"}, "stop"))
    assert (reasoning_of(events), text_of(events)) == ("hm", "a")
    both = {
        "reasoning": "hm",
        "reasoning_content": "hm",
        "reasoning_details": [{"type": "reasoning.text", "text": "hm"}],
    }
    assert reasoning_of(streamed("openrouter", chunk(both), chunk({"content": "a"}, "stop"))) == "hm"


def test_trap_41_the_model_that_answered_is_kept() -> None:
    body = said({"content": "a", "reasoning_content": None}) | {"model": "deepseek-v4-flash"}
    assert whole("deepseek", body).model == "deepseek-v4-flash"


def test_trap_45_a_refusal_is_a_filter_and_a_half_call_never_runs() -> None:
    opened = block(0, type="tool_use", id="t", name="f", input={})
    events = anthropic(opened, delta(0, "input_json_delta", partial_json='{"a'), *ended("refusal"))
    assert finished(events).reason == "content_filter"
    body = {"id": "m", "model": "m", "stop_reason": "refusal", "usage": {"input_tokens": 1, "output_tokens": 1}}
    half = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    answer = whole("anthropic", body | {"content": [half]})
    assert (answer.finish_reason, answer.tool_calls) == ("content_filter", ())
    assert whole("anthropic", body | {"content": []}).parts == ()


def test_trap_46_a_fallback_block_passes_and_its_models_tokens_are_kept() -> None:
    fallback = {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}
    iterations = [{"type": "message", "model": "b", "input_tokens": 3, "output_tokens": 9}]
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"iterations": iterations}}
    events = anthropic(block(0, **fallback), STOPPED, last, {"type": "message_stop"})
    kept = [event.provider_metadata for event in events if isinstance(event, TextDelta)]
    assert "fallback" in json.dumps(kept)
    assert last_usage(events).raw["iterations"] == iterations


def test_trap_47_redacted_thinking_comes_whole_and_goes_back() -> None:
    events = anthropic(block(0, type="redacted_thinking", data="ZGF0YQ=="), STOPPED, *ended("end_turn"))
    (thought,) = [event for event in events if isinstance(event, ReasoningDelta)]
    assert "ZGF0YQ==" in json.dumps(dict(thought.provider_metadata))


# --- E. counts and lists -------------------------------------------------------------------------------------------


def test_trap_48_cached_input_is_input_and_output_is_replaced() -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 1217, "cache_creation_input_tokens": 0, "output_tokens": 1}
    start = {"type": "message_start", "message": {"id": "m1", "model": "m", "usage": usage}}
    events = streamed("anthropic", start, *ended("end_turn"), done=False)
    assert (last_usage(events).input_tokens, last_usage(events).cache_read_tokens) == (1220, 1217)
    assert last_usage(events).output_tokens == 9


def test_trap_50_reasoning_outside_the_completion_is_output() -> None:
    details = {"reasoning_tokens": 227}
    usage = {"prompt_tokens": 307, "completion_tokens": 26, "total_tokens": 560, "completion_tokens_details": details}
    found = whole("xai", said({"content": "a"}, usage=usage)).usage
    assert (found.output_tokens, found.reasoning_tokens, found.total_tokens) == (253, 227, 560)


def test_trap_51_with_ones_own_key_the_upstreams_bill_is_the_cost() -> None:
    bill = {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.000012}}
    assert whole("openrouter", said({"content": "a"}, usage=USAGE | bill)).usage.provider_cost_usd == "0.000012"


def test_trap_52_the_list_has_pages_and_prices_that_are_text() -> None:
    row = {"id": "a/b", "pricing": {"prompt": "0.00000125", "completion": "0.00001"}}
    page = {"data": [row], "total_count": 2, "links": {"next": "https://api.test/v1/models?offset=1"}}
    response = WireResponse(status=200, headers={}, body=json.dumps(page).encode())
    found = codec_for("openrouter").parse_list_models(response, target_for("openrouter"))
    assert found.next_cursor
    assert found.models[0].prices_per_1m == {"input": "1.25", "output": "10"}


def test_trap_55_embeddings_may_be_base64_and_inputs_token_ids() -> None:
    body = {"model": "m", "data": [{"index": 0, "embedding": "AACAPwAAAEA="}], "usage": {"prompt_tokens": 2}}
    response = WireResponse(status=200, headers={}, body=json.dumps(body).encode())
    assert codec_for("openai").parse_embeddings(response, target_for("openai")).vectors == ((1.0, 2.0),)
    wire = codec_for("openai").build_embeddings(EmbeddingRequest(inputs=((1, 2), (3,))), target_for("openai"))
    assert json.loads(wire.body)["input"] == [[1, 2], [3]]


def test_trap_56_an_unknown_finish_is_a_stop_and_is_kept() -> None:
    answer = whole("together", said({"content": "a"}, "eos"))
    assert (answer.finish_reason, answer.choices[0].raw_finish_reason) == ("stop", "eos")


def test_trap_57_lines_are_never_counted_as_tokens() -> None:
    lines = [{"model": "m", "message": {"content": "", "thinking": "h"}, "done": False}] * 3
    lines.append({"model": "m", "message": {"content": ""}, "done": True, "eval_count": 889, "eval_duration": 10**10})
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    events = assert_splits_agree(lambda: codec_for("ollama").stream_decoder(target_for("ollama")), body)
    assert (last_usage(events).output_tokens, last_usage(events).input_tokens) == (889, None)
