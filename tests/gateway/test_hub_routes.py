"""GET /v1/models and the hub's own call routes under the real server."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import openai
import pytest

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
)
from tests.gateway.test_chat_completions import completion
from tests.upstream import Upstream, answer, json_answer

KEY = "sk-planted-91c2-secret-key"
ASK = [{"role": "user", "content": "Ping"}]


@pytest.fixture
def served(hub: Hub, upstream: Upstream, someone: Someone) -> Someone:
    with rows_at_once(hub, someone):
        open_loopback()
        provider = make_provider(upstream, "loop")
        make_key(provider, KEY)
        make_model(
            provider,
            "served-model",
            aliases=["nickname"],
            context_length=8192,
            capabilities={"tools": {"value": "yes", "source": "test", "date": "2026-01-01"}},
            prices={"input_per_1m": "2", "output_per_1m": "8"},
        )
    return someone


def test_the_model_list_has_openais_shape_and_openrouters_additions(hub: Hub, served: Someone) -> None:
    with openai.OpenAI(base_url=f"{hub.base_url}/v1", api_key=served.token, max_retries=0) as client:
        listed = list(client.models.list())
        one = client.models.retrieve("served-model")
    assert [model.id for model in listed] == ["served-model"]
    row = one.model_dump()
    assert (row["object"], row["owned_by"], row["context_length"]) == ("model", "loop", 8192)
    assert row["pricing"] == {"prompt": "0.000002", "completion": "0.000008"}
    assert "tools" in row["supported_parameters"]


def test_the_lane_counts_its_requests(hub: Hub, served: Someone) -> None:
    with hub.client(served.token) as client:
        client.get("/v1/models")
        client.get("/v1/nobody-counts-paths-of-strangers")
        told = client.get("/metrics").text
    assert 'llmhub_lane_requests_total{route="/v1/models",status="200"}' in told
    assert "nobody-counts" not in told


def test_a_model_is_shown_by_alias_and_qualified_name(hub: Hub, served: Someone) -> None:
    with hub.client(served.token) as client:
        for name in ("nickname", "loop/up-served-model"):
            assert client.get(f"/v1/models/{name}").json()["id"] == "served-model"
        assert client.get("/v1/models/none").status_code == 404


def test_a_token_without_the_scope_is_refused(hub: Hub, served: Someone) -> None:
    eve = make_someone("eve", scopes=["usage"])
    with hub.client(eve.token) as client:
        refused = client.get("/v1/models")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope")


def test_a_token_for_some_models_sees_and_calls_only_those(hub: Hub, upstream: Upstream, served: Someone) -> None:
    eve = make_someone("eve", allowed_models=["other"])
    with hub.client(eve.token) as client:
        assert client.get("/v1/models").json()["data"] == []
        body = {"model": "served-model", "messages": ASK}
        refused = client.post("/v1/chat/completions", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert upstream.requests == []


def test_llm_chat_answers_reply_raw_usage_and_request_id(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("Pong")))
    body = {"provider": "loop", "model": "served-model", "messages": ASK, "params": {"temperature": 0.2}}
    with hub.client(served.token) as client:
        told = client.post("/api/llm/chat", json=body)
    assert told.status_code == 200, told.text
    answered = told.json()
    assert answered["reply"] == "Pong"
    assert answered["raw"]["id"] == "up-1"
    assert answered["usage"]["input_tokens"] == 1000
    assert answered["cost"] == "0.006000000"
    assert upstream.requests[0].json["temperature"] == 0.2
    assert usage_of(answered["request_id"]).cost == Decimal("0.006")


def test_llm_chat_mocks_without_a_call(hub: Hub, upstream: Upstream, served: Someone) -> None:
    body = {"model": "served-model", "messages": ASK, "mock": True}
    with hub.client(served.token) as client:
        first, second = (client.post("/api/llm/chat", json=body).json() for _ in range(2))
    assert first["reply"] == second["reply"] == "Ping"
    assert first["mock"] is True
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"messages": ASK, "params": []}, "params"),
        ({"messages": ASK, "surprise": 1}, "surprise"),
        ({"messages": ASK, "model": 7}, "model"),
        ({"messages": ASK, "mock": "yes"}, "mock"),
        ({"messages": ASK, "params": {"stream": True}}, "params.stream"),
        ({"messages": ASK, "adapter": "ollama"}, "adapter"),
    ],
)
def test_llm_chat_refuses_a_bad_payload_by_field(hub: Hub, served: Someone, body: Any, param: str) -> None:
    with hub.client(served.token) as client:
        refused = client.post("/api/llm/chat", json=body)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == param


def test_llm_chat_is_502_when_the_upstream_fails(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer({"error": {"message": "boom"}}, status=500))
    with hub.client(served.token) as client:
        failed = client.post("/api/llm/chat", json={"model": "served-model", "messages": ASK})
    assert failed.status_code == 502


def test_llm_chat_lets_an_admin_override_the_adapter(hub: Hub, upstream: Upstream, served: Someone) -> None:
    served.user.is_superuser = True
    served.user.save()
    upstream.on(
        "POST",
        "/v1/api/chat",
        json_answer(
            {"model": "m", "message": {"role": "assistant", "content": "o"}}
            | {"done": True, "done_reason": "stop", "prompt_eval_count": 1, "eval_count": 1}
        ),
    )
    body = {"model": "served-model", "messages": ASK, "adapter": "ollama"}
    from tests.gateway.conftest import wait_for

    with hub.client(served.token) as client:
        told = wait_for(lambda: client.post("/api/llm/chat", json=body), lambda a: a.status_code == 200)
    assert told.json()["reply"] == "o"


def test_resolve_says_candidates_and_reasons_and_calls_nobody(hub: Hub, upstream: Upstream, served: Someone) -> None:
    with hub.client(served.token) as client:
        found = client.post("/api/llm/resolve", json={"requires_tools": True, "max_cost_per_1m_input": 5}).json()
        none = client.post("/api/llm/resolve", json={"requires_tools": True, "max_cost_per_1m_input": 1}).json()
        bad = client.post("/api/llm/resolve", json={"max_cost_per_1m_input": "NaN"})
    assert found["candidates"][0]["name"] == "served-model"
    assert (none["candidates"], none["dropped"][0]["code"]) == ([], "over_price")
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "max_cost_per_1m_input")
    assert upstream.requests == []


@pytest.mark.parametrize("registry_id", ["stub", "nobody-has-it", None])
def test_test_call_echoes_when_the_provider_is_missing_or_the_stub(
    hub: Hub, served: Someone, registry_id: str | None
) -> None:
    body = {"registry_id": registry_id, "messages": [{"role": "user", "content": "Ping"}]}
    with hub.client(served.token) as client:
        assert client.post("/api/llm/test-call", json=body).json()["data"]["reply"] == "Ping"


def test_test_call_calls_a_provider_there_is(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("Pong")))
    body = {"registry_id": "loop", "model": "served-model", "messages": ASK}
    with hub.client(served.token) as client:
        assert client.post("/api/llm/test-call", json=body).json()["data"]["reply"] == "Pong"


def test_anthropic_and_ollama_answer_an_openai_client(hub: Hub, upstream: Upstream, served: Someone) -> None:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "from anthropic"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 2},
    }
    upstream.on("POST", "/v1/messages", json_answer(message))
    lines = [
        {"model": "m", "message": {"role": "assistant", "content": "from "}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": "ollama"}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
        | {"prompt_eval_count": 4, "eval_count": 2},
    ]
    ndjson = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    upstream.on("POST", "/api/chat", answer(ndjson, headers={"content-type": "application/x-ndjson"}))
    anthropic = make_provider(upstream, "claude", adapter="anthropic", path="", auth_type="api_key")
    make_key(anthropic, KEY)
    make_model(anthropic, "claude-model", max_output_tokens=100)
    make_model(make_provider(upstream, "llama", adapter="ollama", path="", auth_type="none"), "llama-model")
    with openai.OpenAI(base_url=f"{hub.base_url}/v1", api_key=served.token, max_retries=0) as client:
        whole = client.chat.completions.create(model="claude-model", messages=[{"role": "user", "content": "Hi"}])
        pieces = client.chat.completions.create(
            model="llama-model", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices)
    assert whole.choices[0].message.content == "from anthropic"
    assert whole.usage is not None and whole.usage.prompt_tokens == 10
    assert text == "from ollama"
    assert upstream.requests[0].headers["x-api-key"] == KEY
