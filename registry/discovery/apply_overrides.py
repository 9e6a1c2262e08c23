"""Brings the overrides file into the registry's rows. An admin's own answers stay; a second run changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings

from registry.discovery.overrides import OverridesResolver
from registry.discovery.resolvers import ModelCapabilities
from registry.discovery.sources import ModelSpec
from registry.models import LLMModel, ModelPrice

SOURCE: Final = "overrides"
_PERSONS: Final = frozenset({"admin", "user", "api", "registry.json"})
_CAPABILITIES: Final = {
    "supports_tools": "tools",
    "supports_vision": "vision",
    "supports_json_mode": "json_mode",
    "supports_streaming": "streaming",
    "supports_reasoning": "reasoning",
}
_COLUMNS: Final = {
    "max_context": "context_length",
    "max_output_tokens": "max_output_tokens",
    "speed_hint_tps": "speed_tps",
}


@dataclass(slots=True)
class OverridesApplied:
    """Models that changed, and entries that speak of no model the hub has."""

    changed: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)


def apply_overrides(resolver: OverridesResolver | None = None) -> OverridesApplied:
    """Raises OverridesFileError, OSError."""
    resolver = resolver or OverridesResolver(settings.LLMHUB_MODEL_OVERRIDES)
    done = OverridesApplied()
    entries = resolver.overrides()
    if not entries:
        return done
    rows = LLMModel.objects.filter(owner=None, provider__owner=None).select_related("provider")
    specs = {row.pk: ModelSpec(provider=row.provider.slug, name=row.model_id) for row in rows}
    for row in rows:
        said = resolver.lookup(specs[row.pk])
        if said.answered() and _take(row, said):
            done.changed.append(f"{row.provider.slug}/{row.model_id}")
    for entry in entries:
        if not any(entry.speaks_of(spec) for spec in specs.values()):
            done.unmatched.append(f"{entry.provider or '*'}/{entry.name}")
    return done


def _take(row: LLMModel, said: ModelCapabilities) -> bool:
    changed: set[str] = set()
    answers = said.answered()
    for name, capability in _CAPABILITIES.items():
        known = row.capabilities.get(capability, {})
        if name not in answers or known.get("source") in _PERSONS:
            continue
        value = "yes" if answers[name] else "no"
        if known.get("value") != value or known.get("source") != SOURCE:
            row.set_capability(capability, value, source=SOURCE)
            changed.add("capabilities")
    columns: dict[str, Any] = {column: answers[name] for name, column in _COLUMNS.items() if name in answers}
    if "quality_tier" in answers:
        columns["quality_tier"] = answers["quality_tier"].value
    for name in ("tags", "known_params"):
        if name in answers:
            columns[name] = sorted({*getattr(row, name), *answers[name]})
    for column, value in columns.items():
        if getattr(row, column) != value:
            setattr(row, column, value)
            changed.add(column)
    if changed:
        row.save(update_fields=[*changed, "updated_at"])
    return _take_price(row, answers) or bool(changed)


def _take_price(row: LLMModel, answers: dict[str, Any]) -> bool:
    wanted = {
        f"{kind}_per_1m": answers[f"{kind}_cost_per_1m"]
        for kind in ("input", "output")
        if f"{kind}_cost_per_1m" in answers
    }
    present = row.price_at()
    if not wanted or (present is not None and present.source in _PERSONS):
        return False
    if present is not None and all(getattr(present, name) == amount for name, amount in wanted.items()):
        return False
    kept = {"input_per_1m": present.input_per_1m, "output_per_1m": present.output_per_1m} if present else {}
    ModelPrice.objects.create(model=row, source=SOURCE, **{**kept, **wanted})
    return True
