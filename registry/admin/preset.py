"""Presets, prompt packs and routes, with their entries."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from registry.admin.base import RecordAdmin, RecordForm, RecordInline, SwitchableAdmin
from registry.catalog.presets_data import successor_of
from registry.models import Preset, PresetEntry, PromptPack, Route, RouteEntry


class PresetForm(RecordForm):
    class Meta:
        model = Preset
        exclude: ClassVar[tuple[str, ...]] = ("owner",)


class PromptPackForm(RecordForm):
    class Meta:
        model = PromptPack
        exclude: ClassVar[tuple[str, ...]] = ("owner",)


class RouteForm(RecordForm):
    class Meta:
        model = Route
        exclude: ClassVar[tuple[str, ...]] = ("owner",)


class Flagged:
    @admin.display(description="state")
    def flag(self, row: PresetEntry) -> str:
        """Whether the hub has the model, and what stands in for one that it lacks."""
        if row.model_id is not None or not row.model_ref:
            return ""
        successor = successor_of(row.model_ref)
        return f"not here; today's successor is {successor}" if successor else "not here"


class PresetEntryInline(Flagged, RecordInline):
    model = PresetEntry
    readonly_fields = ("flag",)
    autocomplete_fields = ("model",)
    ordering = ("position",)


class RouteEntryInline(RecordInline):
    model = RouteEntry
    autocomplete_fields = ("model",)
    ordering = ("is_fallback", "position")


class OwnedColumns:
    @admin.display(description="owner", ordering="owner")
    def whose(self, row: Any) -> str:
        return "everybody" if row.owner is None else row.owner.get_username()


@admin.register(Preset)
class PresetAdmin(OwnedColumns, SwitchableAdmin):
    form = PresetForm
    inlines = (PresetEntryInline,)
    list_display = ("name", "slug", "module", "is_module_default", "whose", "enabled")
    list_filter = ("enabled", "module", "is_module_default")
    list_select_related = ("owner",)
    search_fields = ("name", "slug", "module", "description")
    readonly_fields = ("whose",)


@admin.register(PresetEntry)
class PresetEntryAdmin(Flagged, RecordAdmin):
    list_display = ("preset", "position", "model", "model_ref", "flag", "note")
    list_filter = (("preset", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("preset", "model")
    search_fields = ("preset__name", "model__name", "model_ref")
    autocomplete_fields = ("preset", "model")


@admin.register(PromptPack)
class PromptPackAdmin(OwnedColumns, SwitchableAdmin):
    """A version that is there is only switched on and off; other words are a new version."""

    form = PromptPackForm
    list_display = ("module", "version", "name", "whose", "enabled", "updated_at")
    list_filter = ("enabled", "module")
    list_select_related = ("owner",)
    search_fields = ("module", "name", "system_template", "user_template")
    readonly_fields = ("whose",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        kept = ("module", "version", "system_template", "user_template", "output_schema", "options")
        return self.readonly_fields if obj is None else (*kept, *self.readonly_fields)


@admin.register(Route)
class RouteAdmin(OwnedColumns, SwitchableAdmin):
    form = RouteForm
    inlines = (RouteEntryInline,)
    list_display = ("name", "strategy", "sticky", "whose", "enabled")
    list_filter = ("enabled", "strategy")
    list_select_related = ("owner",)
    search_fields = ("name", "description")
    readonly_fields = ("whose",)


@admin.register(RouteEntry)
class RouteEntryAdmin(RecordAdmin):
    list_display = ("route", "model", "position", "weight", "is_fallback")
    list_filter = ("is_fallback",)
    list_select_related = ("route", "model")
    search_fields = ("route__name", "model__name")
    autocomplete_fields = ("route", "model")
