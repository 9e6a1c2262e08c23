"""POST /v1/messages and its neighbours under the real server, with Anthropic's own SDK as the client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import pytest

from registry.gateway.app import Refused, refuse
from registry.gateway.http import Answer, Request
from tests.gateway.conftest import (
    Hub,
    Someone,
    make_key,
    make_model,
    make_provider,
    make_someone,
    open_loopback,
    rows_at_once,
    usage_of,
    wait_for,
)
from tests.gateway.plays import anthropic_events, anthropic_frame, anthropic_message, anthropic_streamed
from tests.gateway.test_chat_completions import KEY, chunk, completion, streamed
from tests.upstream import Forever, Upstream, chunked, json_answer, reset_after, sse

HI: list[Any] = [{"role": "user", "content": "Hi"}]
TOOL: dict[str, Any] = {
    "name": "weather",
    "description": "The weather at a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
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
        make_model(claude, "claude", prices=prices, context_length=200_000, max_output_tokens=8192)
    return someone


@pytest.fixture
def sdk(hub: Hub, served: Someone) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=hub.base_url, api_key=served.token, max_retries=0, timeout=20) as client:
        yield client


def test_the_anthropic_sdk_gets_a_whole_answer_from_an_openai_provider(
    sdk: anthropic.Anthropic, upstream: Upstream, served: Someone
) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    raw = sdk.messages.with_raw_response.create(
        model="served-model", max_tokens=64, system="Be brief.", messages=HI, extra_headers={"anthropic-beta": "x-1"}
    )
    answer = raw.parse()
    assert (answer.type, answer.role, answer.model, answer.stop_reason) == (
        "message",
        "assistant",
        "served-model",
        "end_turn",
    )
    assert [block.text for block in answer.content if block.type == "text"] == ["Hello there."]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1000, 500)
    seen = upstream.requests[0]
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert not [name for name in seen.headers if name.startswith("anthropic")]
    assert seen.json["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    row = usage_of(raw.headers["x-request-id"])
    assert (row.state, row.operation, row.dialect, row.cost) == ("ok", "chat", "anthropic.messages", Decimal("0.006"))
    assert row.user == served.user
    assert raw.headers["x-llmhub-cost"] == "0.006000000"


@pytest.mark.parametrize("streaming", [False, True])
def test_what_the_provider_has_no_place_for_is_named_in_a_header(
    hub: Hub, served: Someone, upstream: Upstream, streaming: bool
) -> None:
    upstream.on("POST", "/v1/chat/completions", streamed("Hi") if streaming else json_answer(completion()))
    text = {"type": "text", "text": "Hi"}
    asked = {"model": "served-model", "max_tokens": 64, "stream": streaming}
    with hub.client(served.token) as client:
        for mark, told in (
            ({}, None),
            (
                {"cache_control": {"type": "ephemeral"}},
                "left out, the provider has no place for them: cache_control (anthropic)",
            ),
        ):
            body = asked | {"messages": [{"role": "user", "content": [text | mark]}]}
            answer = client.post("/v1/messages", json=body, headers={"anthropic-version": "2023-06-01"})
            assert (answer.status_code, answer.headers.get("x-llmhub-warnings")) == (200, told)


def test_version_and_betas_reach_an_anthropic_provider(sdk: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.on("POST", "/anthropic/v1/messages", json_answer(anthropic_message()))
    sdk.beta.messages.create(model="claude", max_tokens=64, messages=HI, betas=["context-1m-2025-08-07"])
    seen = upstream.requests[0]
    assert seen.headers["anthropic-version"] == sdk.default_headers["anthropic-version"]
    assert seen.headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert seen.headers["x-api-key"] == KEY
    sdk.messages.create(model="claude", max_tokens=64, messages=HI, extra_headers={"anthropic-version": "2024-02-29"})
    assert upstream.requests[1].headers["anthropic-version"] == "2024-02-29"


@pytest.mark.parametrize("model", ["served-model", "claude"])
def test_the_anthropic_sdk_gets_a_stream(sdk: anthropic.Anthropic, upstream: Upstream, model: str) -> None:
    upstream.on("POST", "/v1/chat/completions", streamed("Hel", "lo ", "you"))
    upstream.on("POST", "/anthropic/v1/messages", anthropic_streamed("Hel", "lo ", "you"))
    with sdk.messages.stream(model=model, max_tokens=64, messages=HI) as stream:
        kinds = [event.type for event in stream if event.type != "text"]
        final = stream.get_final_message()
        request_id = stream.response.headers["x-request-id"]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    assert [block.text for block in final.content if block.type == "text"] == ["Hello you"]
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 1000, 500)
    row = usage_of(request_id)
    assert (row.state, row.streamed, row.cost) == ("ok", True, Decimal("0.006"))


def test_a_tool_loop_runs_through_an_openai_provider(sdk: anthropic.Anthropic, upstream: Upstream) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"place":"Oslo"}'}}
    asking = completion()
    asking["choices"][0] |= {
        "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    upstream.on("POST", "/v1/chat/completions", json_answer(asking), json_answer(completion("It rains.")))
    first = sdk.messages.create(model="served-model", max_tokens=64, messages=HI, tools=[TOOL])  # type: ignore[list-item]  # a dict will do
    assert first.stop_reason == "tool_use"
    used = next(block for block in first.content if block.type == "tool_use")
    assert (used.name, used.input) == ("weather", {"place": "Oslo"})
    turns = [
        *HI,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": used.id, "content": "rain"}]},
    ]
    second = sdk.messages.create(model="served-model", max_tokens=64, messages=turns, tools=[TOOL])  # type: ignore[list-item]  # as above
    assert [block.text for block in second.content if block.type == "text"] == ["It rains."]
    sent = upstream.requests[1].json["messages"]
    assert sent[1]["tool_calls"][0]["function"]["arguments"] == '{"place":"Oslo"}'
    assert (sent[2]["role"], sent[2]["tool_call_id"], sent[2]["content"]) == ("tool", used.id, "rain")


def test_tokens_are_counted_by_anthropic_and_cost_nothing(sdk: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.on("POST", "/anthropic/v1/messages/count_tokens", json_answer({"input_tokens": 2095}))
    raw = sdk.messages.with_raw_response.count_tokens(model="claude", messages=HI, system="Be brief.")
    assert raw.parse().input_tokens == 2095
    assert raw.headers["x-llmhub-usage-source"] == "provider"
    assert "max_tokens" not in upstream.requests[0].json
    row = usage_of(raw.headers["x-request-id"])
    assert (row.operation, row.state, row.cost, row.input_tokens) == ("count_tokens", "ok", Decimal(0), None)


def test_tokens_are_estimated_where_the_provider_can_not_count(sdk: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.on("POST", "/anthropic/v1/messages/count_tokens", json_answer({"error": "no such route"}, status=404))
    for model in ("served-model", "claude"):
        raw = sdk.messages.with_raw_response.count_tokens(
            model=model, messages=[{"role": "user", "content": "four letters a word " * 100}]
        )
        assert 400 <= raw.parse().input_tokens <= 700
        assert raw.headers["x-llmhub-usage-source"] == "estimated"
        assert json.loads(raw.text())["llmhub"] == {"usage_source": "estimated"}


def test_a_count_that_fails_upstream_is_an_error_and_not_an_estimate(
    sdk: anthropic.Anthropic, upstream: Upstream
) -> None:
    refused = {"type": "error", "error": {"type": "authentication_error", "message": f"bad key {KEY}"}}
    upstream.on("POST", "/anthropic/v1/messages/count_tokens", json_answer(refused, status=401))
    with pytest.raises(anthropic.InternalServerError) as caught:
        sdk.messages.count_tokens(model="claude", messages=HI)
    assert caught.value.status_code == 502
    assert KEY not in str(caught.value)


def test_models_are_listed_in_the_shape_of_the_sdk_that_asks(
    sdk: anthropic.Anthropic, hub: Hub, served: Someone
) -> None:
    names = wait_for(lambda: [model.id for model in sdk.models.list(limit=1)], bool)
    assert names == ["claude", "served-model"]  # of two pages
    page = sdk.models.list(limit=1, before_id="served-model")
    assert [model.id for model in page.data] == ["claude"] and not page.has_more
    claude = sdk.models.retrieve("claude")
    assert (claude.type, claude.id, claude.max_input_tokens, claude.max_tokens) == ("model", "claude", 200_000, 8192)
    assert claude.created_at.year >= 2020
    with pytest.raises(anthropic.BadRequestError):
        sdk.models.list(limit=5000)
    with hub.client(served.token) as client:
        assert client.get("/v1/models").json()["object"] == "list"


def test_errors_are_anthropics_on_anthropics_paths(sdk: anthropic.Anthropic, hub: Hub, served: Someone) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        sdk.messages.create(model="nope", max_tokens=5, messages=HI)
    assert unknown.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]  # a dict
    assert unknown.value.request_id or unknown.value.body["request_id"]  # type: ignore[index]  # a dict
    with pytest.raises(anthropic.AuthenticationError):
        sdk.with_options(api_key="llmhub_000000000000_x").messages.create(model="claude", max_tokens=5, messages=HI)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        sdk.post("/v1/messages", cast_to=object, body={"model": "claude", "messages": HI})
    named = {"anthropic-version": "2023-06-01"}
    seen = {}
    with hub.client(served.token) as client:
        seen[405] = client.get("/v1/messages")
        seen[404] = client.post("/v1/messages/batches", json={})
        seen[413] = client.post("/v1/messages", content=b" " * (21 * 1024 * 1024))
        seen[400] = client.post("/v1/messages", content=b'{"model": ')
        assert client.get("/v1/files", headers=named).json()["type"] == "error"
        assert client.get("/v1/models/nope", headers=named).json()["error"]["type"] == "not_found_error"
        assert set(client.get("/v1/files").json()) == {"error"}
        assert set(client.get("/v1/chat/completions", headers=named).json()) == {"error"}
    for status, answer in seen.items():
        assert (answer.status_code, answer.json()["type"]) == (status, "error")
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert seen[413].json()["error"]["type"] == "request_too_large"


def test_a_failure_of_the_hub_is_told_in_the_dialect_of_the_path() -> None:
    def told(path: str) -> dict[str, Any]:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        request = Request({"method": "POST", "path": path, "headers": []}, None, "req_1")
        error = Refused("The hub failed.", code="internal_error", status=500)
        asyncio.run(refuse(Answer(send, "req_1"), request, error))
        assert sent[0]["status"] == 500
        body: dict[str, Any] = json.loads(sent[1]["body"])
        return body

    assert told("/v1/messages")["error"]["type"] == "api_error"
    assert told("/v1/messages")["type"] == "error"
    assert told("/v1/messagesque")["error"]["code"] == "internal_error"


def test_another_users_model_is_not_there(sdk: anthropic.Anthropic, upstream: Upstream) -> None:
    eve = make_someone("eve")
    hers = make_provider(upstream, "hers", owner=eve.user)
    make_key(hers, KEY, owner=eve.user)
    make_model(hers, "hers", owner=eve.user)
    for call in (sdk.messages.create, sdk.messages.count_tokens):
        limit = {"max_tokens": 5} if call == sdk.messages.create else {}
        with pytest.raises(anthropic.NotFoundError):
            call(model="hers", messages=HI, **limit)  # type: ignore[operator]  # two signatures
    with pytest.raises(anthropic.NotFoundError):
        sdk.models.retrieve("hers")
    assert upstream.requests == []


def test_a_stream_that_breaks_ends_in_an_error_event(sdk: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.on(
        "POST",
        "/anthropic/v1/messages",
        reset_after(*map(anthropic_frame, anthropic_events("half of a long answer")[:3])),
    )
    text = ""
    request_id = ""
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        sdk.messages.stream(model="claude", max_tokens=5, messages=HI) as stream,
    ):
        request_id = stream.response.headers["x-request-id"]
        for piece in stream.text_stream:
            text += piece
    assert text == "half of a long answer"
    assert caught.value.body["type"] == "error"  # type: ignore[index]  # a dict
    row = usage_of(request_id)
    # Anthropic says the input first, and of the output one token only.
    assert (row.state, row.usage_source, row.input_tokens) == ("truncated", "estimated", 1000)
    assert row.output_tokens is not None and row.output_tokens > 4


def test_an_overloaded_upstream_is_told_without_its_text(sdk: anthropic.Anthropic, upstream: Upstream) -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": f"Overloaded {KEY}"}}
    whole, streamed = json_answer(body, status=529), sse([anthropic_frame(body)])
    upstream.on("POST", "/anthropic/v1/messages", lambda seen: streamed if seen.json.get("stream") else whole)
    for streaming in (False, True):
        with pytest.raises(anthropic.APIStatusError) as caught:
            sdk.messages.create(model="claude", max_tokens=5, messages=HI, stream=streaming)
        assert caught.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]  # a dict
        assert KEY not in str(caught.value.body)


def test_a_client_that_leaves_is_settled_as_aborted(hub: Hub, upstream: Upstream, served: Someone) -> None:
    piece = f"data: {json.dumps(chunk({'content': 'tick '}))}\n\n".encode()
    upstream.on("POST", "/v1/chat/completions", chunked(Forever(piece, 0.02)))
    body = {"model": "served-model", "max_tokens": 64, "messages": HI, "stream": True}
    with hub.client(served.token) as client, client.stream("POST", "/v1/messages", json=body) as answer:
        request_id = answer.headers["x-request-id"]
        next(answer.iter_bytes())
    upstream.wait_closed()
    row = usage_of(request_id)
    assert (row.state, row.usage_source) == ("aborted", "estimated")


def test_bad_headers_are_refused_by_name(hub: Hub, upstream: Upstream, served: Someone) -> None:
    body = {"model": "claude", "max_tokens": 5, "messages": HI}
    with hub.client(served.token) as client:
        for name, value in (("anthropic-version", "yesterday"), ("anthropic-beta", "a b")):
            answer = client.post("/v1/messages", json=body, headers={name: value})
            assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
            assert name in answer.json()["error"]["message"]
    assert upstream.requests == []
