"""/api/llm/: discovery for clients; the shapes that older tools read."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from registry.api.views.llm import address_without_secrets
from registry.discovery.diagnostics import check_providers
from registry.models import (
    Credential,
    EndpointPolicy,
    HealthCheck,
    LLMModel,
    Preset,
    PresetEntry,
    PromptPack,
    Provider,
    RuntimeRegistration,
    UserSettings,
)
from tests.api.conftest import PLANTED_KEY, Rows, by_session, make_rows
from tests.upstream import Upstream, json_answer, stall_before_headers


@pytest.fixture
def shared(db: None) -> Rows:
    return make_rows(None, "shared")


def test_the_registry_lists_providers_models_and_tags(alice: Any, shared: Rows) -> None:
    answer = by_session(alice).get("/api/llm/registry")
    body = answer.json()
    row = body["providers"][0]
    assert (row["name"], row["slug"], row["adapter"], row["base"]) == (
        "shared provider",
        "shared-provider",
        "openai",
        "https://api.example.com/v1",
    )
    assert (row["enabled"], row["has_key"], row["tags"]) == (True, True, ["chat", "fast"])
    assert [(model["id"], model["name"], model["tier"]) for model in row["models"]] == [
        ("m-1", "shared-model", "economy")
    ]
    assert body["tags"] == ["chat", "fast"]
    assert body["defaults"] == {"provider": "shared-provider", "model": "shared-model", "modules": {}}
    assert PLANTED_KEY not in answer.content.decode()
    assert "health" not in row


def test_diagnostics_ask_every_provider_and_keep_what_they_answered(alice: Any, admin: Any) -> None:
    EndpointPolicy.objects.create(target="127.0.0.0/8")
    with Upstream() as good, Upstream() as strict, Upstream() as silent:
        good.on("GET", "/v1/models", json_answer({"data": [{"id": "a"}, {"id": "b"}]}))
        strict.on("GET", "/v1/models", json_answer({"error": {"message": "secret words"}}, status=401))
        silent.on("GET", "/v1/models", stall_before_headers())
        for name, server in (("good", good), ("strict", strict), ("silent", silent)):
            row = Provider.objects.create(
                slug=name, name=name, adapter="openai_compatible", base_url=server.base_url + "/v1"
            )
            Credential(provider=row).set_secret(PLANTED_KEY)
        Provider.objects.create(
            slug="off", name="off", adapter="openai", base_url="https://api.example.com", enabled=False
        )
        Provider.objects.create(slug="bare", name="bare", adapter="openai", base_url="https://api.example.com/v1")
        check_providers(Provider.objects.filter(slug="silent"), admin, deadline_s=0.5)  # it never answers
        everybody = Provider.objects.visible_to(admin)
        check_providers(everybody, admin, deadline_s=30, kept_s=3600)
        asked = check_providers(everybody, admin, deadline_s=30, kept_s=3600)
        calls = [len(server.requests) for server in (good, strict)]
        answer = by_session(admin).get("/api/llm/registry?diagnostics=1")
    rows = {row["slug"]: row["diagnostics"] for row in answer.json()["providers"]}
    assert (rows["good"]["state"], rows["good"]["key_accepted"], rows["good"]["models"]) == ("ok", True, 2)
    assert (rows["strict"]["reachable"], rows["strict"]["key_accepted"]) == (True, False)
    assert (rows["silent"]["reachable"], rows["silent"]["error"]["code"]) == (False, "upstream_timeout")
    assert (rows["off"]["state"], rows["bare"]["error"]["code"]) == ("skipped", "no_key")
    assert calls == [1, 1], "what was answered a moment ago is not asked again"
    assert {check.state for check in asked.values()} == {"ok", "failing", "skipped"}
    history = {check.provider.slug: check for check in HealthCheck.objects.select_related("provider")}
    assert (history["good"].ok, history["good"].model_count) == (True, 2)
    assert not history["strict"].ok and "secret words" not in answer.content.decode()
    assert PLANTED_KEY not in answer.content.decode()


def test_diagnostics_call_no_address_that_is_closed(alice: Any) -> None:
    Provider.objects.create(
        slug="inside", name="inside", adapter="openai_compatible", base_url="https://10.0.0.5:5432/v1", owner=alice,
        auth_type="none",
    )  # fmt: skip
    row = by_session(alice).get("/api/llm/registry?diagnostics=1").json()["providers"][0]
    assert (row["diagnostics"]["state"], row["diagnostics"]["reachable"]) == ("failing", None)
    assert row["diagnostics"]["error"]["code"] == "endpoint_not_allowed"


def test_ones_own_default_and_module_shortlists_are_told(alice: Any, shared: Rows) -> None:
    own = make_rows(alice, "alice")
    UserSettings.objects.create(user=alice, default_model=own.model)
    Preset.objects.filter(pk=shared.preset.pk).update(is_module_default=True)
    PresetEntry.objects.create(preset=shared.preset, position=1, model_ref="openai/later")
    defaults = by_session(alice).get("/api/llm/registry").json()["defaults"]
    assert defaults == {
        "provider": "alice-provider",
        "model": "alice-model",
        "modules": {"chat": ["shared-model", "openai/later"]},
    }


def test_the_admins_default_comes_before_the_first_name(alice: Any, shared: Rows) -> None:
    LLMModel.objects.create(provider=shared.provider, model_id="z", name="zzz", is_default=True)
    assert by_session(alice).get("/api/llm/registry").json()["defaults"]["model"] == "zzz"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@example.com/v1?key=1", ""),
        ("https://example.com/v1?key=1", "https://example.com/v1"),
        ("HTTP://[::1]:80/v1/", "http://[::1]:80/v1"),
        ("nonsense", ""),
        ("", ""),
    ],
)
def test_an_address_shows_neither_user_name_nor_query(url: str, shown: str) -> None:
    assert address_without_secrets(url) == shown


REGISTRATION = {"id": "local-1", "provider": "lmstudio", "label": "My laptop", "modes": ["chat"]}


def test_an_adapter_is_announced_renewed_and_expires(alice: Any, bob: Any) -> None:
    caller = by_session(alice)
    body = {**REGISTRATION, "base_url": "https://llm.example.com/v1", "models": ["a", "b"], "ttl_s": 60}
    made = caller.post("/api/llm/runtime/register", body)
    assert made.status_code == 201, made.content
    assert (made.json()["id"], made.json()["models"], made.json()["modes"]) == ("local-1", ["a", "b"], ["chat"])
    assert caller.post("/api/llm/runtime/register", {**body, "label": "Again"}).status_code == 201
    assert [row["label"] for row in caller.get("/api/llm/runtime").json()["adapters"]] == ["Again"]
    assert by_session(bob).get("/api/llm/runtime").json()["adapters"] == []
    taken = by_session(bob).post("/api/llm/runtime/register", REGISTRATION)
    assert (taken.status_code, taken.json()["error"]["param"]) == (400, "id")
    RuntimeRegistration.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    assert caller.get("/api/llm/runtime").json()["adapters"] == []
    assert by_session(bob).post("/api/llm/runtime/register", REGISTRATION).status_code == 201


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "a b"}, "id"),
        ({"id": 5}, "id"),
        ({"provider": "no slug"}, "provider"),
        ({"label": None}, "label"),
        ({"modes": "chat"}, "modes"),
        ({"base_url": "http://127.0.0.1:1234"}, "base_url"),
        ({"base_url": "https://u:p@example.com"}, "base_url"),
        ({"models": [1]}, "models.0"),
        ({"ttl_s": 0}, "ttl_s"),
        ({"ttl_s": 10**9}, "ttl_s"),
    ],
)
def test_a_malformed_announcement_is_refused(alice: Any, change: dict[str, Any], field: str) -> None:
    answer = by_session(alice).post("/api/llm/runtime/register", {**REGISTRATION, **change})
    assert (answer.status_code, answer.json()["error"].get("param")) == (400, field), answer.content
    assert RuntimeRegistration.objects.count() == 0


def test_only_an_admin_announces_for_everybody(alice: Any, admin: Any, bob: Any) -> None:
    body = {**REGISTRATION, "is_global": True}
    assert by_session(alice).post("/api/llm/runtime/register", body).status_code == 403
    assert by_session(admin).post("/api/llm/runtime/register", body).status_code == 201
    assert len(by_session(bob).get("/api/llm/runtime").json()["adapters"]) == 1


def test_a_prompt_pack_is_ones_own_before_everybodys(alice: Any, bob: Any) -> None:
    PromptPack.objects.create(module="battle", version=3, system_template="all", output_schema={"type": "object"})
    PromptPack.objects.create(module="battle", version=4, system_template="off", enabled=False)
    PromptPack.objects.create(owner=alice, module="battle", version=1, system_template="mine", options={"a": 1})
    mine = by_session(alice).get("/api/llm/prompt-pack/battle").json()
    assert (mine["system_template"], mine["version"], mine["options"], mine["is_global"]) == (
        "mine",
        1,
        {"a": 1},
        False,
    )
    everybodys = by_session(bob).get("/api/llm/prompt-pack/battle").json()
    assert (everybodys["version"], everybodys["output_schema"]) == (3, {"type": "object"})
    assert by_session(alice).get("/api/llm/prompt-pack/battle?version=3").json()["system_template"] == "all"
    for version in ("9", "x", "-1", "9" * 50, "\u0663"):
        assert by_session(alice).get(f"/api/llm/prompt-pack/battle?version={version}").status_code == 404
