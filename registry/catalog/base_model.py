"""Which model stands behind a deployment's name, and what is known of it. Knows no database.

At Azure the provider's id of a model is whatever its deployment was called; the model's `family` names the model behind
it, as OpenAI calls it (`gpt-4o`). What that model can and costs is then taken where nothing else is known.
"""

from __future__ import annotations

from typing import Final

from adapters.kinds import KINDS
from adapters.profiles import family_changes
from registry.catalog.static_models import STATIC_MODELS
from registry.catalog.templates import TEMPLATES, TemplateModel

__all__ = ["base_row", "profile_name"]

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


def base_row(kind: str, family: str) -> TemplateModel | None:
    """What is known of the model behind a deployment; None where nothing is, or nothing is hidden."""
    return _ROWS.get(family) if kind in _DEPLOYING else None
