"""Presets (a module's ranked models), prompt packs (its templates and schema) and routes (virtual model names)."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F

from registry.models.base import Record, RegistryQuerySet, RegistryRow, unique_per_owner
from registry.models.llm_model import LLMModel


class Preset(RegistryRow, Record):
    """A named shortlist for one module: the first usable entry answers."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="presets"
    )
    slug = models.SlugField(max_length=64)
    name = models.CharField(max_length=120)
    module = models.SlugField(max_length=64, help_text="chat, translate, worldbuild, narrator, battle, json, ...")
    description = models.TextField(blank=True, max_length=2000)
    options = models.JSONField(default=dict, blank=True)
    is_module_default = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)

    objects = RegistryQuerySet.as_manager()

    class Meta:
        ordering = ("slug", "id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            *unique_per_owner("slug", name="preset_slug"),
            models.UniqueConstraint(
                fields=("module",),
                condition=models.Q(is_module_default=True, owner__isnull=True),
                name="preset_one_default_a_module",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PresetEntry(RegistryRow, Record):
    """One rank of a preset. `model_ref` keeps the wanted model's name where the hub has no such model yet."""

    preset = models.ForeignKey(Preset, on_delete=models.CASCADE, related_name="entries")
    position = models.PositiveSmallIntegerField()
    model = models.ForeignKey(LLMModel, null=True, blank=True, on_delete=models.SET_NULL, related_name="preset_entries")
    model_ref = models.CharField(max_length=200, blank=True)  # provider/model_id
    options = models.JSONField(default=dict, blank=True)
    note = models.CharField(max_length=300, blank=True)

    class EntryQuerySet(RegistryQuerySet):
        owner_field = "preset__owner"

    objects = EntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "preset entries"
        ordering = ("preset", "position")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("preset", "position"), name="preset_entry_position")
        ]

    def __str__(self) -> str:
        return f"{self.preset} {self.position}: {self.model or self.model_ref}"


class PromptPack(RegistryRow, Record):
    """A module's prompt templates and the schema its answers follow. Versions are added, not changed."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="prompt_packs"
    )
    module = models.SlugField(max_length=64)
    version = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1)])
    name = models.CharField(max_length=120, blank=True)
    system_template = models.TextField(blank=True)
    user_template = models.TextField(blank=True)
    output_schema = models.JSONField(null=True, blank=True)
    options = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)

    class PackQuerySet(RegistryQuerySet):
        def of_module(self, module: str, version: int | None = None) -> PromptPack | None:
            """The enabled pack of this version, the newest by default; one's own before everybody's."""
            rows = self.filter(module=module, enabled=True)
            if version is not None:
                rows = rows.filter(version=version)
            found: PromptPack | None = rows.order_by(F("owner").asc(nulls_last=True), "-version").first()
            return found

    objects = PackQuerySet.as_manager()

    class Meta:
        ordering = ("module", "-version")
        constraints: ClassVar[list[models.BaseConstraint]] = unique_per_owner(
            "module", "version", name="prompt_pack_version"
        )

    def __str__(self) -> str:
        return f"{self.module} v{self.version}"


class RouteStrategy(models.TextChoices):
    PRIORITY = "priority", "In order"
    WEIGHTED = "weighted", "By weight"
    CHEAPEST = "cheapest", "Cheapest first"
    FASTEST = "fastest", "Fastest first"


class Route(RegistryRow, Record):
    """A virtual model name that stands for several models."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="routes"
    )
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, max_length=2000)
    strategy = models.CharField(max_length=16, choices=RouteStrategy.choices, default=RouteStrategy.PRIORITY)
    sticky = models.BooleanField(default=True, help_text="A conversation keeps the model it was given first.")
    enabled = models.BooleanField(default=True)

    objects = RegistryQuerySet.as_manager()

    class Meta:
        ordering = ("name", "id")
        constraints: ClassVar[list[models.BaseConstraint]] = unique_per_owner("name", name="route_name")

    def __str__(self) -> str:
        return self.name


class RouteEntry(RegistryRow, Record):
    """A model behind a route: one of the choices, or a fallback tried after them."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="entries")
    model = models.ForeignKey(LLMModel, on_delete=models.CASCADE, related_name="route_entries")
    position = models.PositiveSmallIntegerField(default=0)
    weight = models.PositiveIntegerField(default=1)
    is_fallback = models.BooleanField(default=False)

    class EntryQuerySet(RegistryQuerySet):
        owner_field = "route__owner"

    objects = EntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "route entries"
        ordering = ("route", "is_fallback", "position")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("route", "model"), name="route_entry_once")
        ]

    def __str__(self) -> str:
        return f"{self.route}: {self.model}"
