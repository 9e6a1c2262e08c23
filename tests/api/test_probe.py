"""Connection tests against a real server on loopback: what was tried, how it went, and never the key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from registry.models import AuditEvent, Credential, EndpointPolicy, LLMModel, Provider
from tests.api.conftest import PLANTED_KEY, by_session, by_token
from tests.upstream import Upstream, json_answer, stall_before_headers, unused_port

MODELS = {"object": "list", "data": [{"id": "m-1", "object": "model"}, {"id": "m-2", "object": "model"}]}
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "model": "m-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
ECHOED = {"error": {"message": f"bad key {PLANTED_KEY}", "type": "invalid_request_error", "code": "invalid_api_key"}}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        server.on("GET", "/v1/models", json_answer(MODELS))
        server.on("POST", "/v1/chat/completions", json_answer(CHAT))
        yield server


@pytest.fixture
def provider(db: None, upstream: Upstream) -> Provider:
    """Everybody's provider at the loopback server, opened by an admin's policy."""
    port = int(upstream.base_url.rpartition(":")[2])
    EndpointPolicy.objects.create(target="127.0.0.1", ports=[port], audience="all")
    row = Provider.objects.create(slug="up", name="Up", adapter="openai", base_url=f"{upstream.base_url}/v1")
    Credential(provider=row).set_secret(PLANTED_KEY)
    return row


def test_a_provider_that_works(admin: Any, provider: Provider, upstream: Upstream) -> None:
    answer = by_session(admin).post("/api/models/test-connection/", {"provider": "up"})
    body = answer.json()
    assert answer.status_code == 200, body
    assert (body["ok"], body["outcome"], body["models"], body["error"]) == (True, "ok", ["m-1", "m-2"], None)
    assert [(step["step"], step["ok"]) for step in body["tried"]] == [("list_models", True)]
    assert upstream.requests[0].headers["authorization"] == f"Bearer {PLANTED_KEY}"
    provider.refresh_from_db()
    assert (provider.health_state, provider.health_error) == ("ok", "")


def test_a_model_is_asked_for_an_answer(admin: Any, provider: Provider, upstream: Upstream) -> None:
    LLMModel.objects.create(provider=provider, model_id="m-1", name="mine")
    body = by_session(admin).post("/api/models/test-connection/", {"model": "mine"}).json()
    assert [(step["step"], step["ok"]) for step in body["tried"]] == [("list_models", True), ("chat", True)]
    assert upstream.requests[1].json["model"] == "m-1"


def test_the_providers_own_route_and_a_keys_own_route(admin: Any, provider: Provider, upstream: Upstream) -> None:
    caller = by_session(admin)
    assert caller.post(f"/api/providers/{provider.pk}/test-connection/").json()["ok"] is True
    credential = Credential.objects.get()
    assert caller.post(f"/api/credentials/{credential.pk}/test/").json()["ok"] is True
    credential.refresh_from_db()
    assert credential.last_used_at is not None


def test_a_refused_key_is_told_and_not_repeated(admin: Any, provider: Provider, upstream: Upstream) -> None:
    upstream.on("GET", "/v1/models", json_answer(ECHOED, status=401))
    answer = by_session(admin).post("/api/models/test-connection/", {"provider": "up"})
    body = answer.json()
    assert (body["ok"], body["outcome"], body["error"]["upstream_status"]) == (False, "upstream_authentication", 401)
    assert PLANTED_KEY not in answer.content.decode()
    credential = Credential.objects.get()
    assert credential.state == "rejected"
    assert PLANTED_KEY not in credential.last_error
    assert PLANTED_KEY not in str(list(AuditEvent.objects.values()))


def test_ones_own_key_goes_before_the_shared_one(alice: Any, provider: Provider, upstream: Upstream) -> None:
    own = Credential(provider=provider, owner=alice)
    own.set_secret("sk-of-alice-0123456789abcd")
    assert by_session(alice).post("/api/models/test-connection/", {"provider": "up"}).json()["ok"] is True
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-of-alice-0123456789abcd"


def test_a_users_test_leaves_a_shared_providers_health_alone(
    alice: Any, provider: Provider, upstream: Upstream
) -> None:
    upstream.on("GET", "/v1/models", json_answer(ECHOED, status=401))
    by_session(alice).post("/api/models/test-connection/", {"provider": "up"})
    provider.refresh_from_db()
    assert provider.health_state == "unknown"
    assert Credential.objects.get().state == "ok"


def test_an_unsaved_configuration_never_receives_a_stored_key(
    admin: Any, provider: Provider, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED_KEY)
    config = {"adapter": "openai_compatible", "base_url": f"{upstream.base_url}/v1", "headers": {"X-Team": "a"}}
    assert by_session(admin).post("/api/models/test-connection/", {"config": config}).json()["ok"] is True
    assert PLANTED_KEY not in str(upstream.requests)
    assert upstream.requests[0].headers["x-team"] == "a"


def test_an_unsaved_configuration_with_a_key(admin: Any, provider: Provider, upstream: Upstream) -> None:
    config = {"adapter": "openai", "base_url": f"{upstream.base_url}/v1", "api_key": PLANTED_KEY, "model": "m-1"}
    answer = by_session(admin).post("/api/models/test-connection/", {"config": config})
    assert [step["step"] for step in answer.json()["tried"]] == ["list_models", "chat"]
    assert PLANTED_KEY not in answer.content.decode()
    events = list(AuditEvent.objects.all())  # noted before anything is sent, and when it is known
    assert [event.after["origin"] for event in events] == [upstream.base_url] * 2
    assert PLANTED_KEY not in str([event.after for event in events])


def test_the_stub_needs_neither_key_nor_network(alice: Any) -> None:
    body = by_session(alice).post("/api/models/test-connection/", {"config": {"adapter": "stub"}}).json()
    assert (body["ok"], body["outcome"]) == (True, "ok")


def test_no_key_is_told_before_anything_is_sent(alice: Any, upstream: Upstream) -> None:
    Provider.objects.create(slug="empty", name="Empty", adapter="openai", base_url="https://api.example.com/v1")
    body = by_session(alice).post("/api/models/test-connection/", {"provider": "empty"}).json()
    assert (body["ok"], body["outcome"], body["tried"]) == (False, "no_key", [])


def test_a_user_can_not_tell_a_closed_port_from_a_forbidden_address(alice: Any, upstream: Upstream) -> None:
    EndpointPolicy.objects.create(target="127.0.0.1", ports=[unused := unused_port()], audience="all")
    answers = []
    for url in (f"http://127.0.0.1:{unused}/v1", "https://10.255.255.1/v1", f"{upstream.base_url}/v1"):
        config = {"adapter": "openai", "base_url": url, "api_key": PLANTED_KEY}
        answers.append(by_session(alice).post("/api/models/test-connection/", {"config": config}).json())
    assert [answer["ok"] for answer in answers] == [False, False, False]
    assert answers[0]["outcome"] == "upstream_unreachable"
    assert {answer["outcome"] for answer in answers[1:]} == {"endpoint_not_allowed"}  # by the URL alone
    assert upstream.requests == []


def test_a_stalling_endpoint_ends_at_the_deadline(
    admin: Any, provider: Provider, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapters import adapter_from_config
    from adapters.loop_thread import run_sync
    from registry.discovery.probe import policy_for, test_connection

    upstream.on("GET", "/v1/models", stall_before_headers())
    adapter = adapter_from_config(
        {"adapter": "openai", "base_url": f"{upstream.base_url}/v1", "api_key": "k" * 20}, policy=policy_for(admin)
    )
    report, _ = run_sync(test_connection(adapter, deadline_s=0.3))
    assert (report.ok, report.outcome) == (False, "upstream_timeout")
    assert [(step.step, step.ok) for step in report.tried] == [("list_models", False)]
    assert report.latency_ms < 5000


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"provider": "none"},
        {"model": "none"},
        {"model": 1},
        {"provider": "up", "config": {"adapter": "stub"}},
        {"config": {}},
        {"config": []},
        {"config": {"adapter": "nope"}},
        {"config": {"adapter": "openai", "base_url": "https://u:p@api.example.com", "extra": 1}},
        {"config": {"adapter": "stub", "api_key_env": "DJANGO_SECRET_KEY"}},
        {"config": {"adapter": "stub", "headers": {"X": "a\r\nb"}}},
        {"config": {"adapter": "openai_compatible"}},
    ],
)
def test_a_malformed_question_is_a_400(alice: Any, body: dict[str, Any]) -> None:
    answer = by_session(alice).post("/api/models/test-connection/", body)
    assert answer.status_code == 400, answer.content


def test_a_strangers_provider_can_not_be_tested(alice: Any, bob: Any, upstream: Upstream) -> None:
    row = Provider.objects.create(owner=bob, slug="b", name="B", adapter="openai", base_url="https://b.example")
    assert by_session(alice).post("/api/models/test-connection/", {"provider": str(row.pk)}).status_code == 400
    assert by_session(alice).post(f"/api/providers/{row.pk}/test-connection/").status_code == 404


def test_a_test_needs_a_token_that_may_write(alice: Any) -> None:
    answer = by_token(alice, scopes=("chat", "models")).post(
        "/api/models/test-connection/", {"config": {"adapter": "stub"}}
    )
    assert answer.status_code == 403
