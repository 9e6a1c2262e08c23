"""Fills a new hub with provider templates, presets and prompt packs. What it made once it never makes or changes again.

The list of what was made is kept as a discovery run's changes: an admin's edit stays, an admin's deletion too, and a
template that a later release adds still comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from django.db import connection, transaction
from django.utils import timezone

from registry.catalog.environment import key_variable
from registry.catalog.from_template import create_model
from registry.catalog.preset_links import link_preset_entries
from registry.catalog.presets_data import PRESETS, PresetRow
from registry.catalog.prompt_packs_data import PROMPT_PACKS, PromptPackRow
from registry.catalog.rows import read_providers
from registry.catalog.templates import TEMPLATES, ProviderTemplate, TemplateModel
from registry.models import (
    Audience,
    DiscoveryChange,
    DiscoveryRun,
    EndpointPolicy,
    LLMModel,
    Preset,
    PresetEntry,
    PromptPack,
    Provider,
)

SOURCE = "templates"
STUB = "stub"
LOOPBACK = ("127.0.0.0/8", "::1", "localhost")
# One seeding at a time on PostgreSQL; SQLite's IMMEDIATE transactions need no help.
ADVISORY_LOCK = 0x11A_0002


@dataclass(slots=True, kw_only=True)
class SeedSummary:
    """What one run made, by name."""

    providers: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    presets: list[str] = field(default_factory=list)
    prompt_packs: list[str] = field(default_factory=list)
    environment_keys: dict[str, str] = field(default_factory=dict)  # provider slug -> variable, set here and now


def seed_catalog() -> SeedSummary:
    """Make what is missing, in one transaction."""
    summary = SeedSummary()
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        ledger = SeedLedger()
        for template in TEMPLATES.values():
            seed_template(template, ledger, summary)
        for preset in PRESETS:
            ledger.once(f"preset:{preset.module}", partial(make_preset, preset, summary))
        for pack in PROMPT_PACKS:
            ledger.once(f"prompt-pack:{pack.module}:{pack.version}", partial(make_prompt_pack, pack, summary))
        link_preset_entries()
        if connection.vendor == "sqlite":
            seed_loopback(ledger, summary)
        note_environment_keys(summary)
    return summary


class SeedLedger:
    """What earlier runs made."""

    def __init__(self) -> None:
        made = DiscoveryChange.objects.filter(run__source=SOURCE)
        self.known = set(made.values_list("upstream_id", flat=True))
        self.run: DiscoveryRun | None = None

    def once(self, key: str, make: Callable[[], LLMModel | None]) -> None:
        """Call `make` unless a run did so before, and note it."""
        if key in self.known:
            return
        model = make()
        if self.run is None:
            self.run = DiscoveryRun.objects.create(source=SOURCE, state="done", finished_at=timezone.now())
        DiscoveryChange.objects.create(
            run=self.run, kind="new", upstream_id=key, model=model, applied_at=timezone.now()
        )
        self.known.add(key)


def seed_template(template: ProviderTemplate, ledger: SeedLedger, summary: SeedSummary) -> None:
    """A template's provider and models, or those of them that no run made yet.

    Providers wait disabled for somebody to give them a key; the stub needs none and answers the first chat.
    """
    shared = Provider.objects.shared()

    def make_provider() -> None:
        if not shared.filter(slug=template.slug).exists():
            # Not validated: a template without an address of its own waits for one, and can't be enabled before.
            Provider(
                slug=template.slug,
                name=template.label,
                adapter=template.kind,
                base_url=template.base_url,
                auth_type=template.auth_type,
                template=template.slug,
                enabled=template.slug == STUB,
            ).save(force_insert=True)
            summary.providers.append(template.slug)

    ledger.once(f"provider:{template.slug}", make_provider)
    for row in template.models:
        ledger.once(f"model:{template.slug}:{row.model_id}", partial(make_model, template, row, summary))


def make_model(template: ProviderTemplate, row: TemplateModel, summary: SeedSummary) -> LLMModel | None:
    """None where an admin removed the provider, or has such a model there already."""
    provider = Provider.objects.shared().filter(slug=template.slug, template=template.slug).first()
    if provider is None or provider.models.filter(model_id=row.model_id).exists():
        return None
    model = create_model(provider, row, validate=False)
    if template.slug == STUB and not LLMModel.objects.shared().filter(is_default=True).exists():
        model.is_default = True
        model.save(update_fields=["is_default", "updated_at"])
    summary.models.append(model.name)
    return model


def make_preset(row: PresetRow, summary: SeedSummary) -> None:
    """Nothing where an admin has such a preset; not the module's default where they chose one."""
    shared = Preset.objects.shared()
    if shared.filter(slug=row.module).exists():
        return
    preset = Preset(
        slug=row.module,
        name=row.name,
        module=row.module,
        description=row.description,
        options=dict(row.options),
        is_module_default=not shared.filter(module=row.module, is_module_default=True).exists(),
    )
    preset.save(force_insert=True)
    PresetEntry.objects.bulk_create(
        PresetEntry(
            preset=preset, position=position, model_ref=rank.model_ref, options=dict(rank.options), note=rank.note
        )
        for position, rank in enumerate(row.ranks)
    )
    summary.presets.append(row.module)


def make_prompt_pack(row: PromptPackRow, summary: SeedSummary) -> None:
    if PromptPack.objects.shared().filter(module=row.module, version=row.version).exists():
        return
    pack = PromptPack(
        module=row.module,
        version=row.version,
        name=row.name,
        system_template=row.system_template,
        user_template=row.user_template,
        output_schema=dict(row.output_schema),
        options=dict(row.options),
    )
    pack.save(force_insert=True)
    summary.prompt_packs.append(row.module)


def seed_loopback(ledger: SeedLedger, summary: SeedSummary) -> None:
    """A hub on one machine may call that machine's own servers, for the providers that admins keep."""

    def make() -> None:
        for target in LOOPBACK:
            policy = EndpointPolicy(
                target=target, audience=Audience.ADMINS, note="Servers on this machine (Ollama, ...)"
            )
            policy.full_clean()
            policy.save()
            summary.policies.append(target)

    ledger.once("policy:loopback", make)


def note_environment_keys(summary: SeedSummary) -> None:
    """Note on each template's provider which variable holds a key for it. The key itself stays in the environment."""
    for provider in Provider.objects.shared().exclude(template=""):
        variable = key_variable(read_providers([provider.pk])[0])
        if variable:
            summary.environment_keys[provider.slug] = variable
        if provider.metadata.get("environment_key") == variable:
            continue
        provider.metadata.pop("environment_key", None)
        if variable:
            provider.metadata["environment_key"] = variable
        provider.save(update_fields=["metadata", "updated_at"])
