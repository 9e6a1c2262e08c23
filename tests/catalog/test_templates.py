from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from adapters.kinds import KINDS
from registry.catalog.from_template import create_from_template
from registry.catalog.templates import TEMPLATES, TemplateModel
from registry.models import CAPABILITIES, PRICE_FIELDS, LLMModel, Provider, QualityTier, Tier

ALL_MODELS = [
    pytest.param(row, id=f"{slug}/{row.model_id}") for slug, template in TEMPLATES.items() for row in template.models
]


@pytest.mark.parametrize("slug", TEMPLATES)
def test_every_template_names_a_kind_and_a_slug(slug: str) -> None:
    template = TEMPLATES[slug]
    assert template.slug == slug
    assert template.kind in KINDS
    assert template.base_url or template.base_url_hint or template.kind == "stub"


@pytest.mark.parametrize("row", ALL_MODELS)
def test_every_model_uses_known_words(row: TemplateModel) -> None:
    assert row.tier in Tier.values
    assert row.quality_tier in QualityTier.values
    assert set(row.yes) | set(row.no) <= set(CAPABILITIES)
    assert not set(row.yes) & set(row.no)
    assert set(row.prices) <= set(PRICE_FIELDS)
    assert all(price >= 0 for price in row.prices.values())


def test_hub_names_are_unique_over_all_templates() -> None:
    names = [row.hub_name for template in TEMPLATES.values() for row in template.models]
    assert len(names) == len(set(names))


@pytest.mark.django_db
@pytest.mark.parametrize("slug", TEMPLATES)
def test_every_template_makes_valid_rows(slug: str) -> None:
    template = TEMPLATES[slug]
    provider = create_from_template(template, base_url=template.base_url or "https://llm.example.com/v1")
    assert provider.slug == slug
    assert sorted(provider.models.values_list("model_id", flat=True)) == sorted(row.model_id for row in template.models)
    for model in provider.models.all():
        row = next(row for row in template.models if row.model_id == model.model_id)
        price = model.price_at()
        assert {name: getattr(price, name) for name in row.prices} == row.prices
        assert (price is None) == (not row.prices)


@pytest.mark.django_db
def test_a_second_provider_of_a_template_takes_free_names() -> None:
    create_from_template(TEMPLATES["openai"])
    second = create_from_template(TEMPLATES["openai"])
    assert second.slug == "openai-2"
    assert second.models.filter(name="openai-2/gpt-6-luna").exists()


@pytest.mark.django_db
def test_chosen_models_may_be_ones_the_template_does_not_know(alice: Any) -> None:
    provider = create_from_template(
        TEMPLATES["azure-openai"],
        owner=alice,
        base_url="https://team.openai.azure.com",
        model_ids=["our-gpt", "our-gpt"],
    )
    model = provider.models.get()
    assert (model.name, model.owner, model.tier, model.capabilities) == ("our-gpt", alice, "standard", {})


@pytest.mark.django_db
def test_nothing_stays_when_one_model_is_invalid() -> None:
    with pytest.raises(ValidationError):
        create_from_template(TEMPLATES["openai"], model_ids=["gpt-6-luna", "x" * 201])
    assert (Provider.objects.count(), LLMModel.objects.count()) == (0, 0)
