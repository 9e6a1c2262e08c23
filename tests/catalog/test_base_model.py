"""A deployment at Azure has any name; its family names the model behind it, whose facts fill what nobody said."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from adapters.kinds import profile_for
from registry.catalog.base_model import profile_name
from registry.catalog.from_base_model import take_from_base
from registry.models import LLMModel, ModelPrice, Provider
from tests.api.conftest import by_session


@pytest.fixture
def azure(db: None) -> Provider:
    return Provider.objects.create(
        slug="azure", name="Azure", adapter="azure_openai", base_url="https://r.openai.azure.com"
    )


def deployment(provider: Provider, family: str, **fields: Any) -> LLMModel:
    return LLMModel.objects.create(provider=provider, model_id="team-prod", name="prod", family=family, **fields)


def test_a_deployment_has_its_base_models_facts(azure: Provider) -> None:
    model = deployment(azure, "gpt-4o-mini")
    assert take_from_base(model) is True
    model.refresh_from_db()
    assert (model.capability("tools"), model.capability("reasoning"), model.context_length) == ("yes", "no", 128_000)
    assert model.capabilities["tools"]["source"] == "base model"
    price = model.price_at()
    assert price is not None and (price.input_per_1m, price.source) == (Decimal("0.15"), "base model")
    assert take_from_base(model) is False and model.prices.count() == 1


def test_what_a_person_said_stays(azure: Provider) -> None:
    said = {"vision": {"value": "no", "source": "admin", "date": "2026-11-20"}}
    model = deployment(azure, "gpt-4o", capabilities=said, context_length=9)
    ModelPrice.objects.create(model=model, source="admin", input_per_1m=Decimal(1))
    take_from_base(model)
    assert (model.capability("vision"), model.capability("tools"), model.context_length) == ("no", "yes", 9)
    assert model.prices.count() == 1


def test_another_base_model_replaces_what_the_first_one_gave(azure: Provider) -> None:
    model = deployment(azure, "gpt-4o")
    take_from_base(model)
    model.family = "gpt-35-turbo"
    take_from_base(model)
    assert model.capability("vision") == "no"
    model.family = "gpt-4.1"
    take_from_base(model)
    present = model.price_at()
    assert present is not None and present.input_per_1m == Decimal(2)


@pytest.mark.parametrize(("kind", "family"), [("openai", "gpt-4o"), ("azure_openai", ""), ("azure_openai", "nobody")])
def test_elsewhere_a_family_is_only_a_word(db: None, kind: str, family: str) -> None:
    provider = Provider.objects.create(slug="p", name="P", adapter=kind, base_url="https://api.example.com/v1")
    assert take_from_base(deployment(provider, family)) is False
    assert profile_name(kind, "team-prod", family) == "team-prod"


def test_the_adapter_asks_as_the_base_model_wants_it() -> None:
    name = profile_name("azure_openai", "team-prod", "gpt-5-mini")
    assert profile_for("azure_openai", name) == profile_for("azure_openai", "gpt-5-mini")
    assert profile_for("azure_openai", name) != profile_for("azure_openai", "team-prod")


def test_the_api_and_the_admin_take_it(azure: Provider, admin: Any, client: Client) -> None:
    body = {"provider": "azure", "model_id": "a", "family": "gpt-4o"}
    made = by_session(admin).post("/api/models/", body).json()
    assert (made["capabilities"]["vision"]["value"], made["prices"]["input_per_1m"]) == ("yes", "2.5")
    url = f"/api/models/{made['id']}/"
    changed = by_session(admin).patch(url, {"family": "gpt-4o-mini"}).json()
    assert changed["prices"]["input_per_1m"] == "0.15"
    client.force_login(admin)
    page = reverse("admin:registry_llmmodel_add")
    sent = {
        **{"provider": str(azure.pk), "model_id": "b", "name": "b", "family": "gpt-4o", "tier": "standard"},
        **{"quality_tier": "unknown", "default_params": "{}", "profile": "{}", "enabled": "on"},
        **{f"{name}-{end}_FORMS": "0" for name in ("prices", "access") for end in ("TOTAL", "INITIAL")},
    }
    answer = client.post(page, sent)
    assert answer.status_code == 302, answer.context["errors"] if answer.context else answer.content
    row = LLMModel.objects.get(model_id="b")
    assert row.capability("vision") == "yes" and row.price_at() is not None
