"""Makes rows of a provider template: the provider, its models and their prices. Reads no request, checks no right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify

from registry.catalog.templates import ProviderTemplate, TemplateModel
from registry.models import LLMModel, ModelPrice, Provider

PRICE_SOURCE = "template"


def create_from_template(
    template: ProviderTemplate,
    *,
    owner: Any = None,
    name: str = "",
    slug: str = "",
    base_url: str = "",
    model_ids: Iterable[str] | None = None,
    enabled: bool = True,
) -> Provider:
    """Make the provider and its models in one transaction; `owner` None is everybody's.

    `model_ids` chooses among the template's models by their provider's id; one it does not know is made with nothing
    known of it (a deployment's name, a local model). None takes them all. Raises ValidationError by field.
    """
    wanted = _wanted_models(template, model_ids)
    provider = Provider(
        owner=owner,
        slug=slug or free_slug(name or template.slug, owner=owner),
        name=name or template.label,
        adapter=template.kind,
        base_url=base_url or template.base_url,
        auth_type=template.auth_type,
        template=template.slug,
        enabled=enabled,
    )
    with transaction.atomic():
        provider.full_clean()
        provider.save(force_insert=True)
        for row in wanted:
            create_model(provider, row, enabled=enabled)
    return provider


def _wanted_models(template: ProviderTemplate, model_ids: Iterable[str] | None) -> list[TemplateModel]:
    if model_ids is None:
        return list(template.models)
    known = {row.model_id: row for row in template.models}
    tier = "local" if template.adapter_kind.local else "standard"
    return [known.get(name) or TemplateModel(model_id=name, tier=tier, yes=()) for name in dict.fromkeys(model_ids)]


def create_model(
    provider: Provider, row: TemplateModel, *, enabled: bool = True, owner: Any = None, validate: bool = True
) -> LLMModel:
    """Make one model of a template at `provider`, with its price when one is known. Raises ValidationError.

    It is the provider's owner's, unless `owner` says whose personal model at a global provider it is. Seeding leaves
    validation out: the rows are the project's own, and checking each asks the database five times.
    """
    owner = owner or provider.owner
    model = LLMModel(
        provider=provider,
        owner=owner,
        model_id=row.model_id,
        name=_free_name(row, provider, owner),
        description=row.description,
        family=row.family,
        tier=row.tier,
        quality_tier=row.quality_tier,
        tags=list(row.tags),
        context_length=row.context_length,
        max_output_tokens=row.max_output_tokens,
        enabled=enabled,
    )
    for capability in row.yes:
        model.set_capability(capability, "yes", source="template")
    for capability in row.no:
        model.set_capability(capability, "no", source="template")
    if validate:
        model.full_clean()
    model.save(force_insert=True)
    if row.prices:
        price = ModelPrice(model=model, source=PRICE_SOURCE, **row.prices)
        if validate:
            price.full_clean()
        price.save(force_insert=True)
    return model


def _free_name(row: TemplateModel, provider: Provider, owner: Any) -> str:
    """The template's name, or one with the provider's slug before it where the owner has such a name already."""
    taken = LLMModel.objects.filter(owner=owner, name=row.hub_name).exists()
    return f"{provider.slug}/{row.model_id}"[:200] if taken else row.hub_name


def free_slug(text: str, *, owner: Any) -> str:
    """A slug of `text` that the owner has no provider under yet: `openai`, `openai-2`, ... Raises ValidationError."""
    base = slugify(text)[:56]
    if not base:
        raise ValidationError({"slug": "No slug can be made from this name: give one."})
    taken = set(Provider.objects.filter(owner=owner, slug__startswith=base).values_list("slug", flat=True))
    return next(slug for slug in _numbered(base) if slug not in taken)


def _numbered(base: str) -> Iterable[str]:
    yield base
    number = 2
    while True:
        yield f"{base}-{number}"
        number += 1
