"""POST /v1/responses under the real server, with OpenAI's own SDK as the client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from django.db import transaction

from tests.gateway.conftest import (
    Hub,
    Someone,
    make_key,
    make_model,
    make_provider,
    open_loopback,
    rows_at_once,
    usage_of,
)
from tests.gateway.plays import anthropic_events, anthropic_frame, anthropic_message, anthropic_streamed
from tests.gateway.test_chat_completions import KEY, chunk, completion, streamed
from tests.upstream import Upstream, json_answer, reset_after, sse

TOOL: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "The weather at a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    "strict": False,
}


@pytest.fixture
def served(hub: Hub, upstream: Upstream, someone: Someone) -> Someone:
    """`served-model` at an OpenAI-compatible provider, `claude` at one of Anthropic's dialect; priced, with keys."""
    with rows_at_once(hub, someone):
        open_loopback()
        prices = {"input_per_1m": "2", "output_per_1m": "8"}
        provider = make_provider(upstream, "loop")
        make_key(provider, KEY)
        make_model(provider, "served-model", prices=prices)
        claude = make_provider(upstream, "claude-loop", adapter="anthropic", path="/anthropic", auth_type="api_key")
        make_key(claude, KEY)
        make_model(claude, "claude", prices=prices)
    return someone


@pytest.fixture
def sdk(hub: Hub, served: Someone) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.base_url}/v1", api_key=served.token, max_retries=0, timeout=20) as client:
        yield client


def test_the_openai_sdk_gets_a_whole_response(sdk: openai.OpenAI, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    raw = sdk.responses.with_raw_response.create(
        model="served-model",
        instructions="Be brief.",
        input="Hi",
        max_output_tokens=64,
        store=True,
        prompt_cache_key="k1",
        include=["reasoning.encrypted_content"],
    )
    answer = raw.parse()
    assert (answer.output_text, answer.status, answer.model, answer.store) == (
        "Hello there.",
        "completed",
        "served-model",
        False,
    )
    assert answer.usage is not None and (answer.usage.input_tokens, answer.usage.output_tokens) == (1000, 500)
    assert answer.usage.output_tokens_details.reasoning_tokens == 0
    sent = upstream.requests[0].json
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    row = usage_of(raw.headers["x-request-id"])
    assert (row.state, row.operation, row.dialect, row.cost) == ("ok", "chat", "openai.responses", Decimal("0.006"))
    assert raw.headers["x-llmhub-cost"] == "0.006000000"


@pytest.mark.parametrize("model", ["served-model", "claude"])
def test_the_openai_sdk_gets_a_stream(sdk: openai.OpenAI, upstream: Upstream, model: str) -> None:
    upstream.on("POST", "/v1/chat/completions", streamed("Hel", "lo ", "you"))
    upstream.on("POST", "/anthropic/v1/messages", anthropic_streamed("Hel", "lo ", "you"))
    events = list(sdk.responses.create(model=model, input="Hi", max_output_tokens=64, stream=True))
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed" and last.response.output_text == "Hello you"
    assert last.response.usage is not None and last.response.usage.total_tokens == 1500
    row = usage_of("req_" + last.response.id.removeprefix("resp_"))
    assert (row.state, row.streamed, row.cost) == ("ok", True, Decimal("0.006"))


@pytest.mark.parametrize("streaming", [False, True])
def test_a_tool_loop_runs_through_an_openai_provider(sdk: openai.OpenAI, upstream: Upstream, streaming: bool) -> None:
    function = {"name": "weather", "arguments": '{"place":"Oslo"}'}
    calls = [{"index": n, "id": f"call_{n}", "type": "function", "function": function} for n in range(2)]
    if streaming:
        chunks = [chunk({"role": "assistant", "tool_calls": calls}), chunk({}, "tool_calls")]
        first_play = sse([*map(json.dumps, chunks), "[DONE]"])
    else:
        asking = completion()
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        asking["choices"][0] |= {"message": message, "finish_reason": "tool_calls"}
        first_play = json_answer(asking)
    upstream.on("POST", "/v1/chat/completions", first_play, json_answer(completion("It rains.")))
    asked: dict[str, Any] = {"model": "served-model", "tools": [TOOL], "tool_choice": "required"}
    if streaming:
        with sdk.responses.stream(input="Weather?", **asked) as stream:
            first: Any = stream.get_final_response()
    else:
        first = sdk.responses.create(input="Weather?", **asked)
    made = [item for item in first.output if item.type == "function_call"]
    assert [(item.call_id, item.name, json.loads(item.arguments)) for item in made] == [
        ("call_0", "weather", {"place": "Oslo"}),
        ("call_1", "weather", {"place": "Oslo"}),
    ]
    turns: list[Any] = [{"role": "user", "content": "Weather?"}, *first.output]
    turns += [{"type": "function_call_output", "call_id": item.call_id, "output": "rain"} for item in made]
    second = sdk.responses.create(model="served-model", input=turns, tools=[TOOL])  # type: ignore[list-item]  # a dict will do
    assert second.output_text == "It rains."
    sent = upstream.requests[1].json["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == ["call_0", "call_1"]
    assert upstream.requests[0].json["tool_choice"] == "required"


@pytest.mark.parametrize("streaming", [False, True])
def test_another_vendors_thinking_comes_back_signed(sdk: openai.OpenAI, upstream: Upstream, streaming: bool) -> None:
    thought = {"type": "thinking", "thinking": "Let me see.", "signature": "c2lnbmVk"}
    content = [thought, {"type": "text", "text": "Four."}]
    events = anthropic_events("Four.")
    for event in events[1:4]:
        event["index"] = 1
    empty = {"type": "thinking", "thinking": "", "signature": ""}
    deltas = [
        {"type": "thinking_delta", "thinking": "Let me see."},
        {"type": "signature_delta", "signature": "c2lnbmVk"},
    ]
    events[1:1] = [
        {"type": "content_block_start", "index": 0, "content_block": empty},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
    ]
    first_play = sse(map(anthropic_frame, events)) if streaming else json_answer(anthropic_message(content=content))
    upstream.on("POST", "/anthropic/v1/messages", first_play, json_answer(anthropic_message("Five.")))
    asked: dict[str, Any] = {"model": "claude", "reasoning": {"effort": "low", "summary": "auto"}}
    if streaming:
        with sdk.responses.stream(input="2+2?", **asked) as stream:
            first: Any = stream.get_final_response()
    else:
        first = sdk.responses.create(input="2+2?", **asked)
    assert [item.type for item in first.output] == ["reasoning", "message"]
    assert [part.text for part in first.output[0].summary] == ["Let me see."]
    turns: list[Any] = [{"role": "user", "content": "2+2?"}, *first.output, {"role": "user", "content": "And 2+3?"}]
    assert sdk.responses.create(input=turns, **asked).output_text == "Five."
    assert upstream.requests[1].json["messages"][1]["content"] == content


def test_openai_itself_gets_the_request_in_its_own_dialect(
    sdk: openai.OpenAI, upstream: Upstream, served: Someone
) -> None:
    with transaction.atomic():
        vendor = make_provider(upstream, "vendor", adapter="openai")
        make_key(vendor, KEY)
        make_model(vendor, "gpt", model_id="gpt-5.5", prices={"input_per_1m": "2", "output_per_1m": "8"})
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
    text = {"type": "output_text", "text": "Hello.", "annotations": []}
    said = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    body = {
        "id": "resp_up",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5.5",
        "status": "completed",
        "output": [thought, said],
        "usage": {
            "input_tokens": 1000,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 500,
            "output_tokens_details": {"reasoning_tokens": 100},
            "total_tokens": 1500,
        },
    }
    upstream.on("POST", "/v1/responses", json_answer(body))
    asked: dict[str, Any] = {
        "model": "gpt",
        "prompt_cache_key": "k1",
        "reasoning": {"effort": "low", "summary": "auto"},
        "tools": [{"type": "web_search"}, TOOL],
    }
    first = sdk.responses.create(input="Hi", **asked)
    assert [item.id for item in first.output] == ["rs_1", "msg_1"]
    assert first.usage is not None and first.usage.output_tokens_details.reasoning_tokens == 100
    sent = upstream.requests[0].json
    assert sent["prompt_cache_key"] == "k1"
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}
    assert sent["store"] is False
    assert {tool["type"] for tool in sent["tools"]} == {"web_search", "function"}
    turns: list[Any] = [{"role": "user", "content": "Hi"}, *first.output, {"role": "user", "content": "Go on"}]
    sdk.responses.create(input=turns, **asked)
    back = upstream.requests[1].json["input"]
    assert [item.get("encrypted_content") for item in back if item.get("type") == "reasoning"] == ["gAAAA"]


def test_a_schema_an_image_and_a_limit_are_translated(sdk: openai.OpenAI, upstream: Upstream) -> None:
    cut = completion('{"colour": "r')
    cut["choices"][0]["finish_reason"] = "length"
    upstream.on("POST", "/v1/chat/completions", json_answer(cut))
    schema = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
    answer = sdk.responses.create(
        model="served-model",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Which colour?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
                ],
            }
        ],
        text={"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": False}},
        max_output_tokens=20,
    )
    assert (answer.status, answer.incomplete_details and answer.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )
    sent = upstream.requests[0].json
    assert sent["response_format"]["json_schema"]["schema"]["properties"] == schema["properties"]
    kinds = [part["type"] for part in sent["messages"][0]["content"]]
    assert kinds == ["text", "image_url"]
    assert 20 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))


def test_a_stream_that_breaks_ends_in_failed_and_never_in_completed(sdk: openai.OpenAI, upstream: Upstream) -> None:
    piece = f"data: {json.dumps(chunk({'content': 'half'}))}\n\n".encode()
    upstream.on("POST", "/v1/chat/completions", reset_after(piece))
    seen: list[Any] = []
    try:
        seen.extend(sdk.responses.create(model="served-model", input="Hi", stream=True))
    except openai.APIError as error:  # some versions of the SDK raise for the error event
        assert error.message
    kinds = [event.type for event in seen]
    assert "response.completed" not in kinds
    if "error" in kinds:
        assert kinds[-2:] == ["error", "response.failed"]
        assert seen[-1].response.status == "failed" and seen[-1].response.error.message
    row = usage_of("req_" + seen[0].response.id.removeprefix("resp_"))
    assert (row.state, row.usage_source) == ("truncated", "estimated")


BAD_BODIES: dict[str, tuple[Any, int]] = {
    "no input": ({"model": "served-model"}, 400),
    "an empty list": ({"model": "served-model", "input": []}, 400),
    "a stored answer": ({"model": "served-model", "input": "x", "previous_response_id": "resp_1"}, 400),
    "in the background": ({"model": "served-model", "input": "x", "background": True}, 400),
    "a reference": ({"model": "served-model", "input": [{"type": "item_reference", "id": "m"}]}, 400),
    "an unknown item": ({"model": "served-model", "input": [{"type": "telepathy"}]}, 400),
    "an unknown part": ({"model": "served-model", "input": [{"role": "user", "content": [{"type": "smell"}]}]}, 400),
    "a tool only OpenAI has": ({"model": "claude", "input": "x", "tools": [{"type": "web_search"}]}, 400),
    "a lone surrogate": ({"model": "served-model", "input": "\ud800"}, 400),
    "a format without schema": ({"model": "claude", "input": "x", "text": {"format": {"type": "json_schema"}}}, 400),
    "a model nobody has": ({"model": "nope", "input": "x"}, 404),
}


def test_bad_input_is_a_clear_4xx_in_openais_shape(hub: Hub, upstream: Upstream, served: Someone) -> None:
    with hub.client(served.token) as client:
        for name, (body, status) in BAD_BODIES.items():
            answer = client.post("/v1/responses", content=json.dumps(body))
            assert answer.status_code == status, (name, answer.text)
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert client.put("/v1/responses").status_code == 405
        assert client.get("/v1/responses/resp_1").status_code == 404
    with hub.client() as client:
        assert client.post("/v1/responses", json={"model": "claude", "input": "x"}).status_code == 401
    assert upstream.requests == []


def test_an_upstreams_error_is_told_without_its_text(sdk: openai.OpenAI, upstream: Upstream) -> None:
    echo = {"error": {"message": f"Incorrect API key provided: {KEY}", "type": "x", "code": "invalid_api_key"}}
    upstream.on("POST", "/v1/chat/completions", json_answer(echo, status=401))
    for streaming in (False, True):
        with pytest.raises(openai.InternalServerError) as caught:
            sdk.responses.create(model="served-model", input="Hi", stream=streaming)
        assert (caught.value.status_code, caught.value.code) == (502, "upstream_authentication")
        assert KEY not in str(caught.value)
