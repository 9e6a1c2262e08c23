"""seed_models: what it brings, and that it never undoes what an admin did."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from registry.catalog.templates import TEMPLATES
from registry.models import (
    DiscoveryChange,
    DiscoveryRun,
    EndpointPolicy,
    LLMModel,
    ModelPrice,
    Provider,
    RegistryChange,
)

pytestmark = pytest.mark.django_db
embedded_only = pytest.mark.skipif(connection.vendor != "sqlite", reason="made for the embedded database only")


def seed() -> str:
    out = io.StringIO()
    call_command("seed_models", stdout=out)
    return out.getvalue()


def snapshot() -> list[Any]:
    return [
        list(model.objects.order_by("pk").values())
        for model in (Provider, LLMModel, ModelPrice, EndpointPolicy, DiscoveryRun, RegistryChange)
    ]


def test_the_stub_answers_without_a_key_and_is_the_default() -> None:
    seed()
    model = LLMModel.objects.select_related("provider").get(name="stub-echo")
    assert model.provider.slug == "stub" and model.provider.adapter == "stub"
    assert model.enabled and model.provider.enabled and model.is_default and model.tier == "local"
    assert model.capability("chat") == model.capability("streaming") == "yes"
    price = model.price_at()
    assert price is not None and price.input_per_1m == price.output_per_1m == 0


def test_every_template_waits_disabled_for_a_key_with_its_models_ready() -> None:
    seed()
    for template in TEMPLATES.values():
        provider = Provider.objects.get(slug=template.slug)
        assert provider.owner is None and provider.adapter == template.kind
        assert provider.enabled == (template.slug == "stub")
        assert sorted(provider.models.values_list("model_id", flat=True)) == sorted(m.model_id for m in template.models)
        assert all(model.enabled for model in provider.models.all())


def test_a_key_in_the_environment_is_noted_by_its_variables_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-in-the-environment")
    monkeypatch.setenv("LLMHUB_LLM_AZURE_OPENAI_API_KEY", "azure-planted-in-the-environment")
    out = seed()
    provider = Provider.objects.get(slug="openai")
    assert provider.metadata == {"environment_key": "OPENAI_API_KEY"} and not provider.enabled
    assert Provider.objects.get(slug="azure-openai").metadata == {"environment_key": "LLMHUB_LLM_AZURE_OPENAI_API_KEY"}
    assert "OPENAI_API_KEY is set" in out and "planted" not in out
    assert "planted" not in str(snapshot())
    monkeypatch.delenv("OPENAI_API_KEY")
    seed()
    assert Provider.objects.get(slug="openai").metadata == {}


def test_a_template_that_a_later_release_adds_still_comes() -> None:
    seed()
    DiscoveryChange.objects.filter(upstream_id="model:openai:gpt-6-luna").delete()
    LLMModel.objects.filter(model_id="gpt-6-luna").delete()
    assert "0 providers, 1 models" in seed()
    assert LLMModel.objects.filter(model_id="gpt-6-luna", provider__slug="openai").exists()


def test_a_second_run_changes_nothing() -> None:
    seed()
    before = snapshot()
    assert seed().startswith("Made 0 providers, 0 models, 0 endpoint policies.")
    assert snapshot() == before


def test_every_seeded_row_passes_its_own_validation() -> None:
    seed()
    for row in (
        *Provider.objects.exclude(base_url="", enabled=False),
        *LLMModel.objects.all(),
        *ModelPrice.objects.all(),
    ):
        row.full_clean()


def test_an_admins_edits_and_deletions_stay() -> None:
    seed()
    Provider.objects.filter(slug="stub").update(name="Ours", enabled=False)
    LLMModel.objects.filter(name="stub-echo").delete()
    EndpointPolicy.objects.all().delete()
    seed()
    assert Provider.objects.get(slug="stub").name == "Ours"
    assert not Provider.objects.get(slug="stub").enabled
    assert not LLMModel.objects.filter(name="stub-echo").exists()
    assert not EndpointPolicy.objects.exists()


def test_an_admins_own_default_is_kept() -> None:
    provider = Provider.objects.create(slug="ours", name="Ours", adapter="stub")
    LLMModel.objects.create(provider=provider, model_id="m", name="m", is_default=True)
    seed()
    assert not LLMModel.objects.get(name="stub-echo").is_default


@embedded_only
def test_loopback_is_open_to_admins_on_the_embedded_database() -> None:
    seed()
    policies = EndpointPolicy.objects.all()
    assert {policy.target for policy in policies} == {"127.0.0.0/8", "::1", "localhost"}
    assert {policy.audience for policy in policies} == {"admins"}
