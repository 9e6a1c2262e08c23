"""POST /v1/chat/completions under the real server, against a real upstream."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import openai
import pytest

from registry.models import Conversation, Message, Preset, PresetEntry
from tests.database_file import files_that_hold, sqlite_files
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
from tests.upstream import Forever, Play, Upstream, chunked, json_answer, reset_after, sse, stall_before_headers

KEY = "sk-planted-7d1f0c55-secret-key"


def completion(text: str = "Hello there.") -> dict[str, Any]:
    return {
        "id": "up-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
    }


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": [choice]}
    return body | more


def streamed(*pieces: str, usage: bool = True) -> Play:
    events = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in pieces)]
    events.append(chunk({}, "stop"))
    if usage:
        totals = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
        events.append(chunk({}, choices=[], usage=totals))
    return sse([*map(json.dumps, events), "[DONE]"])


@pytest.fixture
def served(hub: Hub, upstream: Upstream, someone: Someone) -> Someone:
    """A global provider with a key and a priced model `served-model`."""
    with rows_at_once(hub, someone):
        open_loopback()
        provider = make_provider(upstream, "loop")
        make_key(provider, KEY)
        make_model(provider, "served-model", prices={"input_per_1m": "2", "output_per_1m": "8"})
    return someone


def sdk(hub: Hub, someone: Someone) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{hub.base_url}/v1", api_key=someone.token, max_retries=0, timeout=20)


def test_the_openai_sdk_gets_a_whole_answer_and_the_row_says_its_cost(
    hub: Hub, upstream: Upstream, served: Someone
) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    with sdk(hub, served) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="served-model", messages=[{"role": "user", "content": "Hi"}]
        )
        answer = raw.parse()
    assert answer.choices[0].message.content == "Hello there."
    assert answer.usage is not None and answer.usage.total_tokens == 1500
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert upstream.requests[0].json["model"] == "up-served-model"
    row = usage_of(raw.headers["x-request-id"])
    assert row.state == "ok"
    assert row.cost == Decimal("0.006")  # 1000 x 2e-6 + 500 x 8e-6
    assert (row.cost_input, row.cost_output) == (Decimal("0.002"), Decimal("0.004"))
    assert row.user == served.user
    assert row.token_name == "dora's"
    assert (row.model_name, row.provider_slug, row.credential_scope) == ("served-model", "loop", "shared")
    assert row.attempts == 1
    assert raw.headers["x-llmhub-cost"] == "0.006000000"


def test_the_openai_sdk_gets_a_stream(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", streamed("Hel", "lo ", "you"))
    with sdk(hub, served) as client:
        chunks = list(
            client.chat.completions.create(
                model="served-model",
                messages=[{"role": "user", "content": "Hi"}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    text = "".join(item.choices[0].delta.content or "" for item in chunks if item.choices)
    assert text == "Hello you"
    assert len({item.id for item in chunks}) == 1
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 500
    row = usage_of(chunks[0].id.removeprefix("chatcmpl-"))
    assert (row.state, row.streamed, row.cost) == ("ok", True, Decimal("0.006"))
    assert row.first_token_ms is not None


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key", "x-goog-api-key"])
def test_a_token_is_taken_from_each_header(hub: Hub, upstream: Upstream, served: Someone, header: str) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    value = f"Bearer {served.token}" if header == "authorization" else served.token
    body = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}]}
    with hub.client() as client:
        assert client.post("/v1/chat/completions", json=body, headers={header: value}).status_code == 200


def test_a_bad_token_is_401_in_openais_shape_and_nothing_is_called(
    hub: Hub, upstream: Upstream, served: Someone
) -> None:
    wrong = served.token[:-1] + ("a" if served.token[-1] != "a" else "b")
    body = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}]}
    for presented in (wrong, "sk-nothing", "llmhub_000000000000_x"):
        with hub.client() as client:
            answer = client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {presented}"})
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "authentication_error"
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    with hub.client() as client:
        assert client.post("/v1/chat/completions", json=body).json()["error"]["code"] == "missing_api_key"
    assert upstream.requests == []


def test_a_token_made_a_moment_ago_works_and_a_revoked_one_stops_within_two_seconds(
    hub: Hub, upstream: Upstream, served: Someone
) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    eve = make_someone("eve")
    body = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}]}
    with hub.client(eve.token) as client:
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        eve.user.access_tokens.get().revoke()
        wait_for(lambda: client.post("/v1/chat/completions", json=body).status_code, lambda s: s == 401, seconds=2)


def test_another_users_model_is_not_there(hub: Hub, upstream: Upstream, served: Someone) -> None:
    eve = make_someone("eve")
    provider = make_provider(upstream, "hers", owner=eve.user)
    make_key(provider, KEY, owner=eve.user)
    model = make_model(provider, "hers", owner=eve.user)
    with hub.client(served.token) as client:
        for name in ("hers", str(model.id), "hers/up-hers"):
            body = {"model": name, "messages": [{"role": "user", "content": "Hi"}]}
            answer = client.post("/v1/chat/completions", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert "hers" not in client.get("/v1/models").text
        assert client.get("/v1/models/hers").status_code == 404
    assert upstream.requests == []


def test_ones_own_key_pays_before_the_shared_one(hub: Hub, upstream: Upstream, served: Someone) -> None:
    from registry.models import Provider

    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    make_key(Provider.objects.get(slug="loop"), "sk-doras-own-key-000000", owner=served.user)
    body = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}]}
    with hub.client(served.token) as client:
        answer = wait_for(
            lambda: client.post("/v1/chat/completions", json=body),
            lambda a: a.headers.get("x-llmhub-credential-scope") == "own",
        )
    assert upstream.requests[-1].headers["authorization"] == "Bearer sk-doras-own-key-000000"
    assert usage_of(answer.headers["x-request-id"]).credential_scope == "own"


@pytest.mark.parametrize(
    ("name", "status"), [("served-model", 200), ("up-served-model", 200), ("loop/up-served-model", 200)]
)
def test_a_model_is_found_by_each_of_its_names(
    hub: Hub, upstream: Upstream, served: Someone, name: str, status: int
) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    with hub.client(served.token) as client:
        body = {"model": name, "messages": [{"role": "user", "content": "Hi"}]}
        assert client.post("/v1/chat/completions", json=body).status_code == status


def test_tier_preset_auto_and_default_are_resolved(hub: Hub, upstream: Upstream, served: Someone) -> None:
    from registry.models import LLMModel, Provider

    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    cheap = make_model(
        Provider.objects.get(slug="loop"),
        "cheap-one",
        tier="economy",
        capabilities={"tools": {"value": "yes", "source": "test", "date": "2026-01-01"}},
        prices={"input_per_1m": "1", "output_per_1m": "1"},
    )
    preset = Preset(slug="translate", name="Translate", module="translate", options={"temperature": 0.1})
    preset.save()
    PresetEntry(preset=preset, position=1, model=cheap).save()
    LLMModel.objects.filter(name="served-model").update(is_default=True)
    expected = {
        "tier:economy": "cheap-one",
        "preset:translate": "cheap-one",
        None: "served-model",
        "auto": "cheap-one",
    }
    with hub.client(served.token) as client:
        for name, chosen in expected.items():
            body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
            body |= {"model": name} if name else {}
            body |= {"requires_tools": True} if name == "auto" else {}
            answer = wait_for(
                lambda body=body: client.post("/v1/chat/completions", json=body),  # type: ignore[misc]  # a default
                lambda a: a.headers.get("x-llmhub-model") is not None,
            )
            assert answer.headers["x-llmhub-model"] == chosen, name
        by_preset = next(r.json for r in upstream.requests if r.json.get("temperature") == 0.1)
        assert by_preset["model"] == "up-cheap-one"


def test_a_conversations_model_is_used_and_its_turns_are_kept(hub: Hub, upstream: Upstream, served: Someone) -> None:
    from registry.models import LLMModel

    upstream.on("POST", "/v1/chat/completions", streamed("Hello ", "back"))
    thread = Conversation.objects.create(owner=served.user, llm_model=LLMModel.objects.get(name="served-model"))
    stranger = make_someone("eve")
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    headers = {"x-llmhub-conversation": str(thread.id)}
    with hub.client(served.token) as client:
        answer = client.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.headers["x-llmhub-model"] == "served-model"
    with hub.client(stranger.token) as client:
        refused = client.post("/v1/chat/completions", json=body, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "conversation_not_found")
    turns = wait_for(
        lambda: list(Message.objects.filter(conversation=thread).values_list("role", "content")), lambda t: len(t) == 2
    )
    assert turns == [("user", "Hi"), ("assistant", "Hello back")]


def test_documents_of_the_request_stand_before_its_question(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    context = {"attached": [{"name": "a.md", "text": "Because."}]}
    client = sdk(hub, served)
    asked = [{"role": "user", "content": "Why?"}]
    client.chat.completions.create(model="served-model", messages=asked, extra_body={"llmhub_context": context})
    sent = json.loads(upstream.requests[-1].body)
    assert "Because." in sent["messages"][0]["content"] and sent["messages"][1:] == asked
    assert "llmhub_context" not in sent
    with pytest.raises(openai.BadRequestError, match="attached"):
        client.chat.completions.create(
            model="served-model", messages=asked, extra_body={"llmhub_context": {"attached": "x"}}
        )


def test_an_upstream_error_is_502_without_its_text(hub: Hub, upstream: Upstream, served: Someone) -> None:
    echo = {"error": {"message": f"Incorrect API key provided: {KEY}", "type": "x", "code": "invalid_api_key"}}
    upstream.on("POST", "/v1/chat/completions", json_answer(echo, status=401))
    body = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}]}
    with hub.client(served.token) as client:
        answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_authentication"
    assert KEY not in answer.text
    row = usage_of(answer.headers["x-request-id"])
    assert (row.state, row.error_code, row.cost) == ("error", "upstream_authentication", Decimal(0))


def test_an_unreachable_upstream_is_502_and_a_silent_one_504(hub: Hub, upstream: Upstream, served: Someone) -> None:
    from registry.models import Provider

    upstream.on("POST", "/v1/chat/completions", stall_before_headers())
    Provider.objects.filter(slug="loop").update(timeout_s=0.5)
    dead = Provider(slug="dead", name="Dead", adapter="openai_compatible", base_url="http://127.0.0.1:9/v1")
    dead.auth_type = "none"
    dead.save()
    make_model(dead, "dead-model")
    with hub.client(served.token) as client:
        for name, status, code in (
            ("dead-model", 502, "upstream_unreachable"),
            ("served-model", 504, "upstream_timeout"),
        ):
            body = {"model": name, "messages": [{"role": "user", "content": "Hi"}]}
            answer = wait_for(
                lambda body=body: client.post("/v1/chat/completions", json=body),  # type: ignore[misc]  # a default
                lambda a: a.status_code != 404,
            )
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
            assert usage_of(answer.headers["x-request-id"]).error_code == code


def test_a_stream_that_breaks_ends_in_an_error_event_and_no_done(hub: Hub, upstream: Upstream, served: Someone) -> None:
    piece = f"data: {json.dumps(chunk({'content': 'half'}))}\n\n".encode()
    upstream.on("POST", "/v1/chat/completions", reset_after(piece))
    body = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with hub.client(served.token) as client:
        answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    assert "half" in answer.text
    assert "[DONE]" not in answer.text
    assert '"finish_reason":"stop"' not in answer.text
    last = json.loads(answer.text.strip().rsplit("data: ", 1)[1])
    assert last["error"]["message"]
    row = usage_of(answer.headers["x-request-id"])
    assert (row.state, row.usage_source, row.cost_status) == ("truncated", "estimated", "estimated")


def test_a_client_that_leaves_ends_the_upstream_and_is_settled_as_aborted(
    hub: Hub, upstream: Upstream, served: Someone
) -> None:
    piece = f"data: {json.dumps(chunk({'content': 'tick '}))}\n\n".encode()
    upstream.on("POST", "/v1/chat/completions", chunked(Forever(piece, 0.02)))
    body = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with hub.client(served.token) as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
        request_id = answer.headers["x-request-id"]
        next(answer.iter_bytes())
    upstream.wait_closed()
    row = usage_of(request_id)
    assert (row.state, row.usage_source) == ("aborted", "estimated")
    assert row.output_tokens


BAD_BODIES: dict[str, tuple[bytes, int]] = {
    "cut JSON": (b'{"model": ', 400),
    "a list": (b"[]", 400),
    "no messages": (b'{"model":"served-model"}', 400),
    "messages a text": (b'{"model":"served-model","messages":"x"}', 400),
    "a lone surrogate": (b'{"model":"served-model","messages":[{"role":"user","content":"\\ud800"}]}', 400),
    "200,000 deep": (b"[" * 200_000, 400),
    "NaN": (b'{"model":"served-model","temperature":NaN,"messages":[]}', 400),
    "a model that is a number": (b'{"model":5,"messages":[{"role":"user","content":"x"}]}', 400),
    "a negative limit": (b'{"model":"served-model","max_tokens":-1,"messages":[{"role":"user","content":"x"}]}', 400),
    "not UTF-8": (b'{"model":"\xff"}', 400),
    "a model nobody has": (b'{"model":"nope","messages":[{"role":"user","content":"x"}]}', 404),
    "21 MB": (b" " * (21 * 1024 * 1024), 413),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_input_is_a_clear_4xx(hub: Hub, upstream: Upstream, served: Someone, name: str) -> None:
    body, status = BAD_BODIES[name]
    with hub.client(served.token) as client:
        answer = client.post("/v1/chat/completions", content=body)
    assert answer.status_code == status, answer.text[:300]
    assert answer.json()["error"]["message"]
    assert upstream.requests == []


def test_unknown_paths_and_methods_are_told(hub: Hub, served: Someone) -> None:
    with hub.client(served.token) as client:
        assert client.get("/v1/nothing").status_code == 404
        assert client.get("/v1/chat/completions").status_code == 405


def test_explain_adds_candidates_and_reasons(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    body = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}]}
    with hub.client(served.token) as client:
        answer = client.post("/v1/chat/completions", json=body, headers={"x-llmhub-explain": "1"})
    assert answer.json()["llmhub"]["candidates"][0]["name"] == "served-model"
    assert KEY not in answer.text


def test_explain_begins_a_stream_with_a_comment_that_clients_pass_over(
    hub: Hub, upstream: Upstream, served: Someone
) -> None:
    upstream.on("POST", "/v1/chat/completions", streamed("Hello"))
    asked: dict[str, Any] = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with hub.client(served.token) as client:
        answer = client.post("/v1/chat/completions", json=asked, headers={"x-llmhub-explain": "1"})
    first = answer.text.split("\n\n")[0]
    assert json.loads(first.removeprefix(": llmhub "))["candidates"][0]["name"] == "served-model"
    assert KEY not in answer.text
    with sdk(hub, served) as openai_client:
        chunks = openai_client.chat.completions.create(**asked, extra_headers={"x-llmhub-explain": "1"})
        assert "".join(item.choices[0].delta.content or "" for item in chunks if item.choices) == "Hello"


def test_fallback_models_are_tried_in_order(hub: Hub, upstream: Upstream, served: Someone) -> None:
    broken = make_provider(upstream, "broken", path="/broken")
    make_key(broken, KEY)
    make_model(broken, "broken-model")
    upstream.on("POST", "/broken/chat/completions", json_answer({"error": {"message": "down"}}, status=503))
    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    body = {"model": "broken-model", "models": ["served-model"], "messages": [{"role": "user", "content": "Hi"}]}
    with hub.client(served.token) as client:
        answer = wait_for(
            lambda: client.post("/v1/chat/completions", json=body),
            lambda a: a.headers.get("x-llmhub-attempts") == "2",
        )
    assert answer.headers["x-llmhub-model"] == "served-model"
    row = usage_of(answer.headers["x-request-id"])
    assert row.attempts == 2
    states = [(item.model_name, item.state) for item in row.tries.order_by("number")]
    assert states == [("broken-model", "error"), ("served-model", "ok")]


def test_no_planted_key_is_in_the_log_or_the_journal(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion()))
    body = {"model": "served-model", "messages": [{"role": "user", "content": "Hi"}]}
    with hub.client(served.token) as client:
        request_id = client.post("/v1/chat/completions", json=body).headers["x-request-id"]
    usage_of(request_id)
    places = [path for path in hub.journal.parent.rglob("*") if path.is_file()]
    assert not files_that_hold([KEY], [*places, *sqlite_files()])
    assert served.token not in hub.log.read_text()
