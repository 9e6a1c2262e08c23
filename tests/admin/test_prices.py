"""The price update as a page: a plan to look at, then what was chosen of it, as it was shown."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from registry.models import AuditEvent, LLMModel, ModelPrice, Provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def models() -> list[LLMModel]:
    provider = Provider.objects.create(
        slug="openai", name="OpenAI", adapter="openai", base_url="https://api.openai.com/v1"
    )
    names = ("gpt-4o", "gpt-4o-mini", "no-such-model-anywhere")
    found = [LLMModel.objects.create(provider=provider, model_id=name, name=name) for name in names]
    ModelPrice.objects.create(model=found[1], input_per_1m=Decimal(99), source="by hand")
    return found


def keys_of(site: Client) -> list[str]:
    return re.findall(r'name="change" value="(\w+)"', site.get("/admin/prices/").content.decode())


def test_the_plan_is_shown_and_nothing_is_written_until_it_is_chosen(site: Client, models: Any) -> None:
    text = site.get("/admin/prices/").content.decode()
    assert "gpt-4o" in text and "99" in text and "1 model has no price" in text
    assert ModelPrice.objects.count() == 1
    (key,) = keys_of(site)
    site.post("/admin/prices/", {"change": []})
    assert ModelPrice.objects.count() == 1
    told = site.post("/admin/prices/", {"change": [key, "nonsense"]}, follow=True).content.decode()
    assert "1 price was written" in told and "1 had changed in the meantime" in told
    assert models[0].prices.get().input_per_1m > 0
    assert models[1].prices.get().input_per_1m == 99
    assert AuditEvent.objects.filter(action="price", row=models[0].pk).count() == 1
    assert keys_of(site) == []


def test_what_was_not_shown_is_not_written(site: Client, models: Any) -> None:
    (key,) = keys_of(site)
    ModelPrice.objects.create(model=models[0], input_per_1m=Decimal(7), source="template")
    site.post("/admin/prices/", {"change": [key]})
    assert [price.input_per_1m for price in models[0].prices.all()] == [7]


def test_tiers_are_said_in_words(site: Client, models: Any) -> None:
    tiers = [{"above_input_tokens": 1000, "input_per_1m": "3", "output_per_1m": "4.5"}]
    ModelPrice.objects.create(model=models[0], input_per_1m=Decimal(1), tiers=tiers, source="by hand")
    assert "above 1000: input 3, output 4.5" in site.get("/admin/prices/").content.decode()
