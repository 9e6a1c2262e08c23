"""Makes the registry's rows follow a registry.json: global providers, models, prices, defaults. Takes no secret.

What the file does not say stays as it is, and nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from adapters.kinds import KINDS
from registry.catalog.registry_file import FileModel, FileProvider, ModuleDefault, ModuleEntry, RegistryFile
from registry.catalog.secret_names import address_without_secrets, is_secret, without_secrets
from registry.catalog.templates import tier_of_kind
from registry.models import LLMModel, ModelPrice, Preset, PresetEntry, Provider

SOURCE = "registry.json"


class RegistryImportError(ValueError):
    """A row can't be made; the message says which and why."""


@dataclass(slots=True)
class ImportPlan:
    """What an import does, or would do, line by line."""

    lines: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        self.lines.append(line)


def import_registry(file: RegistryFile, *, dry_run: bool = False) -> ImportPlan:
    """Make and change rows in one transaction, which a dry run takes back. Raises RegistryImportError."""
    plan = ImportPlan()
    with transaction.atomic():
        for provider in file.providers:
            row = _put_provider(provider, plan)
            for model in provider.models:
                _put_model(row, provider, model, plan)
        _put_default(file, plan)
        for module, default in file.defaults.modules.items():
            _put_module(module, default, plan)
        if dry_run:
            transaction.set_rollback(True)
    return plan


def _put_provider(provider: FileProvider, plan: ImportPlan) -> Provider:
    found = Provider.objects.shared().filter(slug=provider.name).first()
    kind = KINDS[provider.adapter if found is None or "adapter" in provider.said else found.adapter]
    row = found or Provider(
        slug=provider.name,
        name=provider.label or provider.name,
        adapter=provider.adapter,
        base_url=kind.base_url,
        auth_type=kind.auth_type,
    )
    wanted: dict[str, Any] = {
        "name": provider.label,
        "adapter": provider.adapter,
        "base_url": address_without_secrets(provider.base),
        **{name: getattr(provider, name) for name in ("auth_type", "timeout_s", "fee_percent", "enabled", "dry_run")},
    }
    said = {"label": "name", "base": "base_url"}
    values = {
        said.get(name, name): wanted[said.get(name, name)] for name in provider.said & (wanted.keys() | said.keys())
    }
    headers = {name: value for name, value in provider.headers.items() if not is_secret(name, value)}
    settings = without_secrets(provider.settings) | ({"headers": headers} if headers else {})
    metadata = without_secrets(provider.metadata) | ({"tags": list(provider.tags)} if provider.tags else {})
    values |= {"settings": {**row.settings, **settings}, "metadata": {**row.metadata, **metadata}}
    _put(row, values, f"provider {provider.name}", plan)
    return row


def _put_model(provider: Provider, file: FileProvider, model: FileModel, plan: ImportPlan) -> None:
    found = provider.models.shared().filter(model_id=model.id).first()
    row = found or LLMModel(provider=provider, model_id=model.id, name="", tier=tier_of_kind(provider.adapter))
    values = {
        name: _plain(getattr(model, name)) for name in model.said - {"id", "name", "prices", "capabilities", "options"}
    }
    if "options" in model.said:
        values["default_params"] = without_secrets(model.options)
    if "capabilities" in model.said:
        values["capabilities"] = {**row.capabilities, **_answers(row, model)}
    if found is None and not model.tags and file.tags:
        values["tags"] = list(file.tags)
    name = model.name or ("" if found else model.id)
    if name and name != row.name:
        values["name"] = _free_name(name, row, provider)
    _put(row, values, f"model {provider.slug}/{model.id}", plan)
    _put_price(row, model, plan)


def _answers(row: LLMModel, model: FileModel) -> dict[str, Any]:
    """The file's answers; one that says what the row says already keeps the row's source and date."""
    return {
        name: {"date": timezone.now().date().isoformat(), **answer}
        for name, answer in model.capabilities.items()
        if row.capability(name) != answer["value"] or name not in row.capabilities
    }


def _free_name(name: str, row: LLMModel, provider: Provider) -> str:
    taken = LLMModel.objects.shared().filter(name=name).exclude(pk=row.pk).exists()
    free = f"{provider.slug}/{row.model_id}"[:200] if taken else name
    return free if free != row.name else row.name


def _put_price(row: LLMModel, model: FileModel, plan: ImportPlan) -> None:
    if not model.prices:
        return
    now = row.price_at()
    known = {name: getattr(now, name) for name in model.prices} if now else {}
    if known == dict(model.prices):
        return
    price = ModelPrice(model=row, source=SOURCE, **model.prices)
    _checked(price, f"the price of {row.name}")
    price.save(force_insert=True)
    plan.note(f"new price of {row.provider.slug}/{row.model_id}: {', '.join(sorted(model.prices))}")


def _put_default(file: RegistryFile, plan: ImportPlan) -> None:
    if not file.defaults.model:
        return
    provider, model = file.defaults.provider, file.defaults.model
    if not provider:
        provider, model = file.reference(model)
    row = find_model(provider, model)
    if row is None:
        raise RegistryImportError(
            f"defaults name the model {model!r} of {provider or 'no provider'!r}, which is not there."
        )
    if row.is_default:
        return
    for other in LLMModel.objects.shared().filter(is_default=True):
        other.is_default = False
        other.save(update_fields=["is_default", "updated_at"])
    row.is_default = True
    row.save(update_fields=["is_default", "updated_at"])
    plan.note(f"default model: {provider}/{model}")


def find_model(provider: str, model: str) -> LLMModel | None:
    """The global model of this provider's slug and id (or name)."""
    rows = LLMModel.objects.shared().filter(provider__slug=provider, provider__owner__isnull=True)
    found: LLMModel | None = rows.filter(model_id=model).first() or rows.filter(name=model).first()
    return found


def _put_module(module: str, default: ModuleDefault, plan: ImportPlan) -> None:
    slug = slugify(module)[:64]
    if not slug:
        raise RegistryImportError("A module's name needs letters or digits.")
    presets = Preset.objects.shared()
    found = (
        presets.filter(module=slug, is_module_default=True).first() or presets.filter(slug=slug, module=slug).first()
    )
    row = found or Preset(slug=_free_preset_slug(slug), name=module[:120], module=slug)
    values: dict[str, Any] = {"is_module_default": True}
    values |= {name: getattr(default, name) for name in ("name", "description") if getattr(default, name)}
    if default.options:
        values["options"] = without_secrets(default.options)
    _put(row, values, f"preset {row.slug}", plan)
    present = list(PresetEntry.objects.filter(preset=row).order_by("position"))
    wanted = [_rank(entry) for entry in default.entries]
    if not default.is_whole:  # the file speaks of the first rank alone: the others follow it
        firsts = [rank["model_ref"] for rank in wanted]
        wanted += [rank for rank in map(_present, present) if rank["model_ref"] not in firsts]
    if [_present(entry) for entry in present] == wanted:
        return
    PresetEntry.objects.filter(preset=row).delete()
    PresetEntry.objects.bulk_create(
        PresetEntry(preset=row, position=position, **rank) for position, rank in enumerate(wanted)
    )
    plan.note(
        f"module {module}: {', '.join(rank['model_ref'] for rank in wanted[:3])}{' ...' if len(wanted) > 3 else ''}"
    )


def _free_preset_slug(slug: str) -> str:
    """The module's name, unless a preset of another module has that slug."""
    return f"{slug}-default"[:64] if Preset.objects.shared().filter(slug=slug).exists() else slug


def _rank(entry: ModuleEntry) -> dict[str, Any]:
    model = find_model(entry.provider, entry.model)
    provider, model_id = (model.provider.slug, model.model_id) if model else (entry.provider, entry.model)
    return {
        "model_id": model.pk if model else None,
        "model_ref": f"{provider}/{model_id}".strip("/")[:200],
        "options": without_secrets(entry.options),
        "note": entry.note[:300],
    }


def _present(entry: PresetEntry) -> dict[str, Any]:
    model = entry.model
    reference = f"{model.provider.slug}/{model.model_id}" if model else entry.model_ref
    return {"model_id": entry.model_id, "model_ref": reference, "options": entry.options, "note": entry.note}


def _put(row: Any, values: Mapping[str, Any], label: str, plan: ImportPlan) -> None:
    """Save the row if it is new or differs. Raises RegistryImportError."""
    changed = sorted(name for name, value in values.items() if _plain(getattr(row, name)) != value)
    is_new = row._state.adding
    if not is_new and not changed:
        return
    for name in changed:
        setattr(row, name, values[name])
    _checked(row, label)
    row.save()
    plan.note(f"new {label}" if is_new else f"changed {label}: {', '.join(changed)}")


def _checked(row: Any, label: str) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise RegistryImportError(f"{label}: {' '.join(error.messages)}") from error


def _plain(value: Any) -> Any:
    """As JSON columns hold it."""
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
