"""Fills a deployment's row from the model that it hides (registry.catalog.base_model). Changes no person's answer."""

from __future__ import annotations

from typing import Final

from registry.catalog.base_model import base_row
from registry.catalog.templates import TemplateModel
from registry.models import PRICE_FIELDS, LLMModel, ModelPrice

__all__ = ["SOURCE", "take_from_base"]

SOURCE: Final = "base model"


def take_from_base(model: LLMModel) -> bool:
    """Fill what nobody answered from the base model and save; answers whether anything changed.

    Prices are the vendor's list prices: a region or a contract may say otherwise, and then wins by being written.
    Answers taken from another base model before are replaced.
    """
    row = base_row(model.provider.adapter, model.family)
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
