"""The hub's global registry as a `RegistryFile`. Reads no credential."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from registry.catalog.entries import PriceEntry
from registry.catalog.registry_file import (
    FileDefaults,
    FileModel,
    FileProvider,
    ModuleDefault,
    ModuleEntry,
    RegistryFile,
)
from registry.catalog.rows import read_prices
from registry.models import LLMModel, Preset, PresetEntry, Provider


def export_registry() -> RegistryFile:
    """All global providers and models with the prices in force, the default model and each module's list."""
    prices = read_prices()
    providers = []
    for row in Provider.objects.shared().order_by("slug"):
        models = [_model(model, prices.get(model.pk, ())) for model in row.models.shared().order_by("model_id")]
        providers.append(_provider(row, tuple(models)))
    default = LLMModel.objects.shared().filter(is_default=True).select_related("provider").first()
    presets = Preset.objects.shared().filter(is_module_default=True).order_by("module")
    modules = {row.module: _module(row) for row in presets if row.entries.exists()}
    return RegistryFile(
        providers=tuple(providers),
        defaults=FileDefaults(
            provider=default.provider.slug if default else "",
            model=default.model_id if default else "",
            modules=modules,
        ),
    )


def _provider(row: Provider, models: tuple[FileModel, ...]) -> FileProvider:
    # `tags` stand in a field of their own; which variable holds a key is this machine's affair.
    metadata = {name: value for name, value in row.metadata.items() if name not in ("tags", "environment_key")}
    return FileProvider(
        name=row.slug,
        label=row.name,
        adapter=row.adapter,
        base=row.base_url,
        models=models,
        tags=tuple(row.metadata.get("tags") or ()),
        headers=row.settings.get("headers") or {},
        settings={name: value for name, value in row.settings.items() if name != "headers"},
        metadata=metadata,
        auth_type=row.auth_type,
        timeout_s=row.timeout_s,
        fee_percent=row.fee_percent,
        enabled=row.enabled,
        dry_run=row.dry_run,
    )


def _model(row: LLMModel, prices: Sequence[PriceEntry]) -> FileModel:
    now = timezone.now()
    price = next((price for price in prices if price.effective_from <= now), None)
    return FileModel(
        id=row.model_id,
        name=row.name,
        tags=tuple(row.tags),
        tier=row.tier,
        quality_tier=row.quality_tier,
        family=row.family,
        aliases=tuple(row.aliases),
        description=row.description,
        context_length=row.context_length,
        max_output_tokens=row.max_output_tokens,
        capabilities=row.capabilities,
        known_params=tuple(row.known_params),
        options=row.default_params,
        prices=price.rates if price else {},
        retires_on=row.retires_on.isoformat() if row.retires_on else None,
        enabled=row.enabled,
    )


def _module(row: Preset) -> ModuleDefault:
    entries = row.entries.order_by("position").select_related("model__provider")
    return ModuleDefault(
        entries=tuple(_rank(entry) for entry in entries),
        is_whole=True,
        name=row.name,
        description=row.description,
        options=row.options,
    )


def _rank(entry: PresetEntry) -> ModuleEntry:
    if entry.model is not None:
        provider, model = entry.model.provider.slug, entry.model.model_id
    else:
        provider, _, model = entry.model_ref.partition("/")
    return ModuleEntry(provider=provider, model=model, options=entry.options, note=entry.note)
