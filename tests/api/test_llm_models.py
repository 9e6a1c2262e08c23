from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from registry.models import AuditEvent, LLMModel, ModelPrice, Provider
from tests.api.conftest import PLANTED_KEY, by_session


@pytest.fixture
def shared(db: None) -> Provider:
    return Provider.objects.create(
        slug="shared", name="Shared", adapter="openai", base_url="https://api.example.com/v1"
    )


BODY: dict[str, Any] = {"provider": "shared", "model_id": "gpt-x"}


def test_a_model_with_prices_and_capabilities(alice: Any, shared: Provider) -> None:
    body = {
        **BODY,
        "name": "mine",
        "tier": "premium",
        "tags": ["fast", "fast", "chat"],
        "capabilities": {"tools": True, "vision": False, "reasoning": None, "json_mode": "yes"},
        "prices": {"input_per_1m": "0.15", "output_per_1m": 0.6},
        "context_length": 128000,
    }
    answer = by_session(alice).post("/api/models/", body)
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert made["prices"] == {"input_per_1m": "0.15", "output_per_1m": "0.6"}
    assert (made["provider"], made["is_global"], made["tags"]) == ("shared", False, ["fast", "chat"])
    assert {name: row["value"] for name, row in made["capabilities"].items()} == {
        "tools": "yes",
        "vision": "no",
        "reasoning": "unknown",
        "json_mode": "yes",
    }
    assert made["capabilities"]["tools"]["source"] == "api"
    assert LLMModel.objects.get().owner == alice


def test_a_name_is_the_providers_id_when_none_is_given(alice: Any, shared: Provider) -> None:
    assert by_session(alice).post("/api/models/", BODY).json()["name"] == "gpt-x"


def test_an_admins_model_at_everybodys_provider_is_everybodys(admin: Any, alice: Any, shared: Provider) -> None:
    made = by_session(admin).post("/api/models/", BODY).json()
    assert made["is_global"] is True
    assert by_session(alice).get(f"/api/models/{made['id']}/").status_code == 200


def test_a_price_change_adds_a_version(alice: Any, shared: Provider) -> None:
    caller = by_session(alice)
    made = caller.post("/api/models/", {**BODY, "prices": {"input_per_1m": "1", "output_per_1m": "2"}}).json()
    url = f"/api/models/{made['id']}/"
    assert caller.patch(url, {"prices": {"input_per_1m": "1.5"}}).json()["prices"] == {
        "input_per_1m": "1.5",
        "output_per_1m": "2",
    }
    caller.patch(url, {"prices": {"input_per_1m": "1.5"}})  # nothing changed: no version
    caller.patch(url, {"description": "x"})
    history = caller.get(f"{url}price-history/").json()
    assert [row["input_per_1m"] for row in history] == ["1.5", "1"]
    assert ModelPrice.objects.count() == 2


def test_a_price_taken_back_is_unknown_and_not_zero(alice: Any, shared: Provider) -> None:
    caller = by_session(alice)
    made = caller.post("/api/models/", {**BODY, "prices": {"input_per_1m": "0", "output_per_1m": "2"}}).json()
    assert made["prices"] == {"input_per_1m": "0", "output_per_1m": "2"}
    after = caller.patch(f"/api/models/{made['id']}/", {"prices": {"output_per_1m": None}}).json()
    assert after["prices"] == {"input_per_1m": "0"}


@pytest.mark.parametrize(
    "price",
    ["-1", -1, "NaN", "sNaN", "Infinity", "-0.1", "1e-40", "1_000", "\uff11.\uff15", "\u0663", "", " 1", True, [], {},
     "0.1234567", "123456789.5", "9" * 40, 1e300, 1e-9],
)  # fmt: skip
def test_a_price_that_is_none_is_refused(alice: Any, shared: Provider, price: Any) -> None:
    answer = by_session(alice).post("/api/models/", {**BODY, "prices": {"input_per_1m": price}})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prices.input_per_1m")
    assert (LLMModel.objects.count(), ModelPrice.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prices": []}, "prices"),
        ({"prices": {"input": "1"}}, "prices"),
        ({"capabilities": {"flying": True}}, "capabilities"),
        ({"capabilities": {"tools": 7}}, "capabilities"),
        ({"capabilities": {"tools": {"value": "yes", "date": "yesterday"}}}, "capabilities"),
        ({"capabilities": ["tools"]}, "capabilities"),
        ({"context_length": -1}, "context_length"),
        ({"context_length": 2**31}, "context_length"),
        ({"context_length": 2**63}, "context_length"),
        ({"context_length": "1000"}, "context_length"),
        ({"context_length": 1.5}, "context_length"),
        ({"context_length": True}, "context_length"),
        ({"tier": "gold"}, "tier"),
        ({"tier": ["economy"]}, "tier"),
        ({"quality_tier": 5}, "quality_tier"),
        ({"tags": "fast"}, "tags"),
        ({"tags": [1]}, "tags.0"),
        ({"tags": [""]}, "tags.0"),
        ({"aliases": {"a": 1}}, "aliases"),
        ({"default_params": []}, "default_params"),
        ({"profile": {"no_such_field": 1}}, "profile"),
        ({"retires_on": "soon"}, "retires_on"),
        ({"model_id": ""}, "model_id"),
        ({"model_id": "x" * 201}, "model_id"),
        ({"model_id": "a\nb"}, "model_id"),
        ({"name": "x\u200by"}, "name"),
        ({"provider": "nobody"}, "provider"),
        ({"provider": 1}, "provider"),
        ({"description": "x" * 4001}, "description"),
    ],
)
def test_a_malformed_field_is_named(alice: Any, shared: Provider, change: dict[str, Any], field: str) -> None:
    answer = by_session(alice).post("/api/models/", {**BODY, **change})
    assert (answer.status_code, answer.json()["error"].get("param")) == (400, field), answer.content
    assert LLMModel.objects.count() == 0


def test_names_and_upstream_ids_are_unique_among_ones_own(alice: Any, bob: Any, shared: Provider) -> None:
    caller = by_session(alice)
    assert caller.post("/api/models/", {**BODY, "name": "n"}).status_code == 201
    again = caller.post("/api/models/", {"provider": "shared", "model_id": "other", "name": "n"})
    assert (again.status_code, again.json()["error"]["param"]) == (400, "name")
    again = caller.post("/api/models/", {**BODY, "name": "n2"})
    assert (again.status_code, again.json()["error"]["param"]) == (400, "model_id")
    assert by_session(bob).post("/api/models/", {**BODY, "name": "n"}).status_code == 201


def test_one_default_at_a_time_and_only_by_an_admin(admin: Any, alice: Any, shared: Provider) -> None:
    first = by_session(admin).post("/api/models/", {**BODY, "is_default": True}).json()
    body = {"provider": "shared", "model_id": "second", "is_default": True}
    assert by_session(alice).post("/api/models/", body).status_code == 403
    second = by_session(admin).post("/api/models/", body).json()
    assert second["is_default"] is True
    assert LLMModel.objects.get(pk=first["id"]).is_default is False


def test_a_personal_model_is_no_default(admin: Any, shared: Provider) -> None:
    answer = by_session(admin).post("/api/models/", {**BODY, "is_default": True, "is_global": False})
    assert answer.status_code == 400


def test_a_global_model_at_a_personal_provider_is_refused(admin: Any) -> None:
    Provider.objects.create(owner=admin, slug="own", name="Own", adapter="stub")
    answer = by_session(admin).post("/api/models/", {"provider": "own", "model_id": "m", "is_global": True})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "provider")


def test_a_patch_of_capabilities_keeps_the_others(alice: Any, shared: Provider) -> None:
    caller = by_session(alice)
    made = caller.post("/api/models/", {**BODY, "capabilities": {"tools": True, "vision": True}}).json()
    after = caller.patch(f"/api/models/{made['id']}/", {"capabilities": {"vision": False}}).json()
    assert {name: row["value"] for name, row in after["capabilities"].items()} == {"tools": "yes", "vision": "no"}


@pytest.fixture
def catalogue(shared: Provider, alice: Any) -> None:
    local = Provider.objects.create(slug="local", name="Local", adapter="stub")
    rows = [
        LLMModel(
            provider=shared, model_id="a", name="alpha", tier="economy", tags=["fast", "caf\u00e9"], context_length=8
        ),
        LLMModel(provider=shared, model_id="b", name="beta", tier="premium", tags=["Fast"], context_length=200000),
        LLMModel(provider=local, model_id="c", name="gamma", tier="local", enabled=False, description="about alpha"),
        LLMModel(provider=local, model_id="d", name="delta", tier="local", owner=alice, tags=['q"uote']),
    ]
    rows[1].set_capability("tools", "yes", source="test")
    rows[0].set_capability("tools", "no", source="test")
    for row in rows:
        row.save()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["alpha", "beta", "delta", "gamma"]),
        ("tier=local", ["delta", "gamma"]),
        ("tag=fast", ["alpha"]),
        ("tag=Fast", ["beta"]),
        ("tag=caf%C3%A9", ["alpha"]),
        ("tag=q%22uote", ["delta"]),
        ("tag=fas", []),
        ("tag=%25", []),
        ("provider=local", ["delta", "gamma"]),
        ("search=ALPHA", ["alpha", "gamma"]),
        ("search=%25", []),
        ("enabled=false", ["gamma"]),
        ("capability=tools", ["beta"]),
        ("min_context=10000", ["beta"]),
        ("owner=me", ["delta"]),
        ("owner=shared&tier=economy", ["alpha"]),
        ("ordering=-name", ["gamma", "delta", "beta", "alpha"]),
        ("ordering=tier", ["alpha", "gamma", "delta", "beta"]),
    ],
)
def test_the_list_narrows_and_orders(alice: Any, catalogue: None, query: str, names: list[str]) -> None:
    answer = by_session(alice).get(f"/api/models/?{query}")
    assert answer.status_code == 200, answer.content
    found = [row["name"] for row in answer.json()["results"]]
    assert (found if "ordering" in query else sorted(found)) == names


def test_every_page_of_an_ordered_list_is_reached_once(alice: Any, catalogue: None) -> None:
    seen, url = [], "/api/models/?limit=1&ordering=tier"
    while url:
        page = by_session(alice).get(url).json()
        seen += [row["name"] for row in page["results"]]
        url = page["next"]
    assert sorted(seen) == ["alpha", "beta", "delta", "gamma"]


def test_templates_are_listed(alice: Any) -> None:
    rows = {row["slug"]: row for row in by_session(alice).get("/api/models/templates/").json()}
    assert {"openai", "anthropic", "huggingface", "ollama", "vllm", "azure-openai", "stub"} <= rows.keys()
    assert rows["openai"]["env_names"] == ["OPENAI_API_KEY"]
    assert Decimal(rows["openai"]["models"][0]["prices"]["input_per_1m"]) > 0


def test_a_provider_from_a_template_comes_with_key_and_models(alice: Any) -> None:
    body = {"template": "openai", "api_key": PLANTED_KEY, "name": "Work", "models": ["gpt-6-luna", "my-finetune"]}
    answer = by_session(alice).post("/api/models/from-template/", body)
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (made["provider"]["slug"], made["provider"]["has_key"]) == ("work", True)
    assert sorted(row["model_id"] for row in made["models"]) == ["gpt-6-luna", "my-finetune"]
    assert PLANTED_KEY not in answer.content.decode()
    provider = Provider.objects.get()
    assert (provider.owner, provider.template) == (alice, "openai")
    assert provider.credentials.get().reveal(provider.owner_id).api_key == PLANTED_KEY
    assert sorted(AuditEvent.objects.values_list("table", flat=True)) == [
        "registry_credential",
        "registry_llmmodel",
        "registry_llmmodel",
        "registry_provider",
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"template": "nope"}, "template"),
        ({"template": ["openai"]}, "template"),
        ({"template": "azure-openai"}, "base_url"),
        ({"template": "ollama"}, "base_url"),  # a user's provider may not call this machine
        ({"template": "openai", "api_key": "a b"}, "api_key"),
        ({"template": "openai", "models": ["x" * 201]}, "models.0"),
        ({"template": "openai", "name": "\u0000"}, None),
        ({}, "template"),
    ],
)
def test_a_template_that_can_not_be_used_leaves_nothing(alice: Any, body: dict[str, Any], field: str | None) -> None:
    answer = by_session(alice).post("/api/models/from-template/", body)
    assert (answer.status_code, answer.json()["error"].get("param")) == (400, field), answer.content
    assert (Provider.objects.count(), LLMModel.objects.count(), AuditEvent.objects.count()) == (0, 0, 0)


def test_only_an_admin_uses_a_template_for_everybody(alice: Any, admin: Any) -> None:
    body = {"template": "stub", "is_global": True}
    assert by_session(alice).post("/api/models/from-template/", body).status_code == 403
    assert by_session(admin).post("/api/models/from-template/", body).status_code == 201
    assert LLMModel.objects.get().owner is None
