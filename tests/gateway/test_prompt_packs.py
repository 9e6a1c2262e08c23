"""Prompt packs and adapters announced at run time, through POST /api/llm/chat and test-call under the real server."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.utils import timezone

from registry.models import Preset, PresetEntry, PromptPack, RuntimeRegistration
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
from tests.gateway.test_chat_completions import completion
from tests.upstream import Upstream, json_answer

ASK = [{"role": "user", "content": "Ping"}]
SCHEMA = {
    "type": "object",
    "properties": {"detected_language": {"type": "string"}, "translation": {"type": "string"}},
    "required": ["detected_language", "translation"],
    "additionalProperties": False,
}
GOOD = json.dumps({"detected_language": "de", "translation": "house"})


@pytest.fixture
def served(hub: Hub, upstream: Upstream, someone: Someone) -> Someone:
    with rows_at_once(hub, someone):
        open_loopback()
        provider = make_provider(upstream, "loop")
        make_key(provider, "sk-planted-pack-key-0001")
        model = make_model(provider, "served-model", prices={"input_per_1m": "2", "output_per_1m": "8"})
        preset = Preset.objects.create(slug="translate", name="T", module="translate", is_module_default=True)
        PresetEntry.objects.create(preset=preset, position=0, model=model, options={"temperature": 0.1})
        PromptPack.objects.create(
            module="translate",
            system_template="Translate into {{target_language}}.",
            user_template="Text:\n{{text}}",
            output_schema=SCHEMA,
            options={"temperature": 0.9, "top_p": 0.8},
        )
    return someone


def post(hub: Hub, who: Someone, body: dict[str, Any], path: str = "/api/llm/chat") -> Any:
    with hub.client(who.token) as client:
        return client.post(path, json=body)


def test_a_pack_fills_its_templates_and_asks_for_its_schema(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion(f"```json\n{GOOD}\n```")))
    body = {"module": "translate", "variables": {"target_language": "English", "text": "{{text}} Haus"}}
    told = post(hub, served, body)
    assert told.status_code == 200, told.text
    assert told.json()["data"] == {"detected_language": "de", "translation": "house"}
    assert told.json()["prompt_pack"] == {"module": "translate", "version": 1, "valid": True, "repaired": False}
    sent = upstream.requests[0].json
    assert [turn["content"] for turn in sent["messages"]] == ["Translate into English.", "Text:\n{{text}} Haus"]
    assert sent["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (sent["temperature"], sent["top_p"]) == (0.1, 0.8), "the preset's own options come first, the pack's after"


def test_an_answer_that_does_not_fit_is_repaired_once(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on(
        "POST", "/v1/chat/completions", json_answer(completion('{"translation": 7}')), json_answer(completion(GOOD))
    )
    body = {"prompt_pack": "translate@1", "variables": {"target_language": "English"}, "model": "served-model"}
    told = post(hub, served, {**body, "messages": ASK})
    assert told.status_code == 200, told.text
    answered = told.json()
    assert answered["prompt_pack"]["repaired"] is True and answered["data"]["translation"] == "house"
    assert any("detected_language" in error for error in answered["prompt_pack"]["first_errors"])
    first, second = (request.json["messages"] for request in upstream.requests)
    assert [turn["role"] for turn in first] == ["system", "user"]
    assert second[2]["content"] == '{"translation": 7}' and "JSON schema" in second[3]["content"]
    row = usage_of(answered["prompt_pack"]["first_request_id"])
    assert row.state == "ok"
    assert answered["cost"] == "0.012000000", "both calls are paid for"


def test_two_answers_that_do_not_fit_are_the_upstreams_failure(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("no JSON at all")))
    told = post(hub, served, {"prompt_pack": "translate", "variables": {"target_language": "E", "text": "x"}})
    assert told.status_code == 502
    assert told.json()["error"]["code"] == "invalid_answer"
    assert told.json()["errors"] == ["The answer is no JSON."] and told.json()["reply"] == "no JSON at all"
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt_pack": "nothing"}, "prompt_pack"),
        ({"prompt_pack": "translate@x"}, "prompt_pack"),
        ({"prompt_pack": "translate", "variables": {"target_language": "E"}}, "variables.text"),
        (
            {"prompt_pack": "translate", "variables": {"target_language": "E", "text": "x", "odd": "y"}},
            "variables.odd",
        ),
        ({"prompt_pack": "translate", "variables": {"text": []}}, "variables.text"),
        ({"variables": {"text": "x"}}, "variables"),
    ],
)
def test_a_pack_that_can_not_be_filled_is_refused(hub: Hub, served: Someone, body: Any, param: str) -> None:
    refused = post(hub, served, body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_a_mocked_pack_answers_its_schema_without_a_call(hub: Hub, upstream: Upstream, served: Someone) -> None:
    body = {"prompt_pack": "translate", "variables": {"target_language": "E", "text": "x"}, "mock": True}
    told = post(hub, served, body).json()
    assert told["data"] == {"detected_language": "mock", "translation": "mock"} == json.loads(told["reply"])
    assert upstream.requests == []


def test_ones_own_pack_comes_first_and_anothers_is_not_there(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("{}")))
    eve = make_someone("eve")
    PromptPack.objects.create(module="mine", owner=eve.user, user_template="Hi", output_schema={"$ref": "http://x/"})
    assert post(hub, served, {"prompt_pack": "mine"}).status_code == 400
    told = post(hub, eve, {"prompt_pack": "mine", "model": "served-model"})
    assert told.status_code == 200 and told.json()["data"] == {}


# --- adapters announced at run time -----------------------------------------------------------------------------------


def announce(someone: Someone, slug: str, **fields: Any) -> None:
    values = {"provider": "lmstudio_local", "label": slug, "modes": ["chat"], **fields}
    values.setdefault("expires_at", timezone.now() + dt.timedelta(hours=1))
    RuntimeRegistration.objects.create(slug=slug, owner=someone.user, **values)


def test_an_announced_adapter_is_called_by_its_id(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("From the desk")))
    announce(served, "desk", base_url=f"{upstream.base_url}/v1", model_names=["qwen"])
    body = {"registry_id": "desk", "model": "qwen", "messages": ASK}

    def reply() -> str:
        return str(post(hub, served, body, "/api/llm/test-call").json()["data"]["reply"])

    assert wait_for(reply, lambda text: text != "Ping") == "From the desk"
    assert upstream.requests[-1].json["model"] == "qwen"
    assert "authorization" not in upstream.requests[-1].headers
    chat = post(hub, served, {"provider": "desk", "messages": ASK})
    assert chat.json()["reply"] == "From the desk" and chat.json()["model"] == "desk/qwen"
    lane = post(hub, served, {"model": "desk/qwen", "messages": ASK}, "/v1/chat/completions")
    assert lane.json()["choices"][0]["message"]["content"] == "From the desk"
    row = usage_of(chat.json()["request_id"])
    assert (row.state, row.model_name, row.provider_slug) == ("ok", "desk/qwen", "desk")


def test_an_announced_name_for_a_registered_provider_uses_its_keys(
    hub: Hub, upstream: Upstream, served: Someone
) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("Pong")))
    announce(served, "nick", provider="loop")
    body = {"registry_id": "nick", "messages": ASK}
    told = wait_for(
        lambda: post(hub, served, body, "/api/llm/test-call").json()["data"], lambda data: data["reply"] == "Pong"
    )
    assert told["model"] == "nick/up-served-model"
    assert upstream.requests[-1].headers["authorization"] == "Bearer sk-planted-pack-key-0001"


def test_an_announcement_is_its_owners_and_expires(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("Pong")))
    eve = make_someone("eve")
    announce(served, "desk", base_url=f"{upstream.base_url}/v1", model_names=["qwen"])
    announce(served, "gone", base_url=f"{upstream.base_url}/v1", expires_at=timezone.now() - dt.timedelta(seconds=1))
    body = {"registry_id": "desk", "model": "qwen", "messages": ASK}
    wait_for(lambda: post(hub, served, body, "/api/llm/test-call").json()["data"]["reply"], lambda text: text == "Pong")
    assert post(hub, eve, body, "/api/llm/test-call").json()["data"]["reply"] == "Ping"
    assert post(hub, eve, {"model": "desk/qwen", "messages": ASK}).status_code == 404
    late = {"registry_id": "gone", "model": "qwen", "messages": ASK}
    assert post(hub, served, late, "/api/llm/test-call").json()["data"]["provider"] == "stub"


# --- context ----------------------------------------------------------------------------------------------------------


def test_attached_texts_stand_before_the_question(hub: Hub, upstream: Upstream, served: Someone) -> None:
    upstream.on("POST", "/v1/chat/completions", json_answer(completion("Pong")))
    body = {"model": "served-model", "messages": ASK, "context": {"attached": [{"name": "a.md", "text": "Because."}]}}
    assert post(hub, served, body).status_code == 200
    turns = upstream.requests[0].json["messages"]
    assert [turn["role"] for turn in turns] == ["user", "user"]
    assert turns[0]["content"] == '<document name="a.md">\nBecause.\n</document>' and turns[1]["content"] == "Ping"


@pytest.mark.parametrize(
    ("context", "param"),
    [
        ([], "context"),
        ({"nobody": 1}, "context.nobody"),
        ({"attached": "x"}, "context.attached"),
        ({"attached": [{"name": 7, "text": "x"}]}, "context.attached"),
    ],
)
def test_context_that_can_not_be_read_is_refused(hub: Hub, served: Someone, context: Any, param: str) -> None:
    refused = post(hub, served, {"model": "served-model", "messages": ASK, "context": context})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_a_provider_set_to_dry_run_is_never_called(hub: Hub, upstream: Upstream, served: Someone) -> None:
    with rows_at_once(hub, served):
        dry = make_provider(upstream, "dry", dry_run=True)
        make_key(dry, "sk-planted-dry-0001")
        make_model(dry, "dry-model", prices={"input_per_1m": "2", "output_per_1m": "8"})
    told = post(hub, served, {"provider": "dry", "model": "dry-model", "messages": ASK})
    assert told.json()["reply"] == "Ping"
    assert upstream.requests == []
