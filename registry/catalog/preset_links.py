"""Joins a preset's wanted models to the hub's own, where the hub has come to know them."""

from __future__ import annotations

from registry.models import LLMModel, PresetEntry


def link_preset_entries() -> int:
    """Link global presets' entries whose `model_ref` (provider/model_id) is there now; answers how many."""
    waiting = list(PresetEntry.objects.filter(model__isnull=True, preset__owner__isnull=True).exclude(model_ref=""))
    if not waiting:
        return 0
    ids = {reference.partition("/")[2] for entry in waiting for reference in _spellings(entry.model_ref)}
    rows = LLMModel.objects.shared().filter(model_id__in=ids, provider__owner__isnull=True)
    known = {f"{slug}/{model_id}": key for key, slug, model_id in rows.values_list("pk", "provider__slug", "model_id")}
    linked = 0
    for entry in waiting:
        key = next((known[reference] for reference in _spellings(entry.model_ref) if reference in known), None)
        if key is not None:
            entry.model_id = key
            entry.save(update_fields=["model", "updated_at"])
            linked += 1
    return linked


def _spellings(reference: str) -> tuple[str, ...]:
    """As it is, and for Anthropic as its API writes it: people say claude-3.5-sonnet, the API claude-3-5-sonnet."""
    return (reference, reference.replace(".", "-")) if reference.startswith("anthropic/") else (reference,)
