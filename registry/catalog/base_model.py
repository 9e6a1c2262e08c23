"""Which model stands behind a deployment's name, and what is known of it. Changes nothing that a person answered.

At Azure the provider's id of a model is whatever its deployment was called; the model's `family` names the model behind
it, as OpenAI calls it (`gpt-4o`). What that model can and costs is then taken where nothing else is known.
"""

from __future__ import annotations

from typing import Final

from adapters.kinds import KINDS
from adapters.profiles import family_changes
from registry.catalog.static_models import STATIC_MODELS
from registry.catalog.templates import TEMPLATES, TemplateModel
from registry.models import PRICE_FIELDS, LLMModel, ModelPrice

__all__ = ["SOURCE", "profile_name", "take_from_base"]

SOURCE: Final = "base model"
_DEPLOYING: Final = frozenset({"azure_openai"})
_VENDORS: Final = ("openai", "azure_openai")  # Azure's own rows are last: they name no prices


def _base_rows() -> dict[str, TemplateModel]:
    rows: dict[str, TemplateModel] = {}
    for vendor in _VENDORS:
        known = [row for template in TEMPLATES.values() if template.kind == vendor for row in template.models]
        for row in (*known, *STATIC_MODELS.get(vendor, ())):
            rows.setdefault(row.model_id, row)
    return rows


_ROWS: Final = _base_rows()


def profile_name(kind: str, model: str, family: str) -> str:
    """The name by which the adapter's profile is chosen: the base model's where a deployment hides it."""
    if kind not in _DEPLOYING or not family:
        return model
    return family if family in _ROWS or family_changes(KINDS[kind].families, family) else model


def take_from_base(model: LLMModel) -> bool:
    """Fill what nobody answered from the base model and save; answers whether anything changed.

    Prices are the vendor's list prices: a region or a contract may say otherwise, and then wins by being written.
    Answers taken from another base model before are replaced.
    """
    row = _ROWS.get(model.family) if model.provider.adapter in _DEPLOYING else None
    if row is None:
        return False
    before = (dict(model.capabilities), model.context_length, model.max_output_tokens)
    model.capabilities = {name: kept for name, kept in model.capabilities.items() if kept.get("source") != SOURCE}
    for value, names in (("yes", row.yes), ("no", row.no)):
        for name in names:
            if model.capability(name) == "unknown":
                model.set_capability(name, value, source=SOURCE)
    model.context_length = model.context_length or row.context_length
    model.max_output_tokens = model.max_output_tokens or row.max_output_tokens
    changed = before != (model.capabilities, model.context_length, model.max_output_tokens)
    if changed:
        model.save(update_fields=["capabilities", "context_length", "max_output_tokens", "updated_at"])
    return _take_price(model, row) or changed


def _take_price(model: LLMModel, row: TemplateModel) -> bool:
    present = model.price_at()
    if not row.prices or (present is not None and present.source != SOURCE):
        return False
    if present is not None and all(getattr(present, name) == row.prices.get(name) for name in PRICE_FIELDS):
        return False
    ModelPrice.objects.create(model=model, source=SOURCE, **row.prices)
    return True
