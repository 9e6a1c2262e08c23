"""Models, their prices and which groups may use them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest
from django.utils import timezone

from adapters.errors import ConfigurationError
from adapters.kinds import profile_for
from registry.admin.base import RecordAdmin, RecordForm, RecordInline, note, stored_columns
from registry.admin.list_fields import CapabilitiesField, WordsField
from registry.admin.test_connection import TestableAdmin
from registry.catalog.from_base_model import take_from_base
from registry.models import PRICE_FIELDS, LLMModel, ModelAccess, ModelPrice


class ModelForm(RecordForm):
    aliases = WordsField(help_text="Other names clients may use, one a line.")
    tags = WordsField(help_text="One a line.")
    known_params = WordsField(help_text="Parameters the model takes, one a line; empty is not known.")
    capabilities = CapabilitiesField()

    class Meta:
        model = LLMModel
        exclude: ClassVar[tuple[str, ...]] = ("owner",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "family" in self.fields:
            self.fields["family"].help_text = "At Azure the model behind the deployment, as OpenAI calls it: gpt-4o."
        if "capabilities" in self.fields:
            known = self.instance.capabilities or {}
            self.fields["capabilities"].widget.notes = {
                name: " ".join(str(answer[part]) for part in ("source", "date") if answer.get(part))
                for name, answer in known.items()
            }

    def clean_capabilities(self) -> dict[str, Any]:
        """Keep every answer that was not changed with its source; a changed one is this admin's."""
        answers: dict[str, str] = self.cleaned_data["capabilities"]
        row = LLMModel(capabilities=dict(self.instance.capabilities))
        for name, value in answers.items():
            if row.capability(name) != value:
                row.set_capability(name, value, source="admin")
        known: dict[str, Any] = row.capabilities
        return known

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        provider = data.get("provider") or getattr(self.instance, "provider", None)
        if provider is None:
            return data
        if self.instance._state.adding:
            self.instance.owner = provider.owner
        try:
            profile_for(provider.adapter, data.get("model_id") or "", data.get("profile") or None)
        except (ConfigurationError, TypeError, ValueError, AttributeError) as error:
            raise ValidationError({"profile": str(error)}) from error
        return data


class PriceInline(RecordInline):
    """Prices are added, not changed: usage rows name the version they were priced with."""

    model = ModelPrice
    fields = ("effective_from", *PRICE_FIELDS[:6], "per_request", "per_image", "tiers", "source")
    ordering = ("-effective_from",)
    can_delete = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AccessInline(RecordInline):
    model = ModelAccess
    verbose_name_plural = "groups that may use it (none: everybody)"


@admin.register(LLMModel)
class LLMModelAdmin(TestableAdmin):
    form = ModelForm
    inlines = (PriceInline, AccessInline)
    list_display = (
        "name",
        "provider",
        "model_id",
        "tier",
        "price",
        "context_length",
        "enabled",
        "is_default",
        "last_used_at",
    )
    list_filter = (
        "enabled",
        "tier",
        ("provider", admin.RelatedOnlyFieldListFilter),
        "quality_tier",
        "is_default",
        "family",
    )
    list_select_related = ("provider", "owner")
    search_fields = ("name", "model_id", "family", "provider__name", "provider__slug", "description")
    autocomplete_fields = ("provider",)
    readonly_fields = ("whose", "last_used_at", "vanished_at", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("provider", "model_id", "name", "aliases", "enabled", "is_default", "whose")}),
        ("What it is", {"fields": ("tier", "quality_tier", "family", "tags", "description")}),
        (
            "What it can",
            {"fields": ("capabilities", "context_length", "max_output_tokens", "speed_tps", "known_params")},
        ),
        ("How it is called", {"classes": ("collapse",), "fields": ("default_params", "profile")}),
        (
            "Times",
            {
                "classes": ("collapse",),
                "fields": ("retires_on", "vanished_at", "last_used_at", "created_at", "updated_at"),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("prices")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """After the prices were: what a deployment's base model is known for fills what nobody said."""
        super().save_related(request, form, formsets, change)
        if not change or "family" in form.changed_data:
            before = stored_columns(form.instance)
            if take_from_base(form.instance):
                note(request, "change", form.instance, before)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.readonly_fields if obj is None else ("provider", *self.readonly_fields)

    @admin.display(description="owner")
    def whose(self, row: LLMModel) -> str:
        return "everybody" if row.owner is None else row.owner.get_username()

    @admin.display(description="USD per 1M in / out")
    def price(self, row: LLMModel) -> str:
        now = timezone.now()
        current = next((price for price in row.prices.all() if price.effective_from <= now), None)
        if current is None:
            return "unknown"
        rates = (current.input_per_1m, current.output_per_1m)
        return " / ".join("unknown" if rate is None else f"{rate.normalize():f}" for rate in rates)


@admin.register(ModelPrice)
class ModelPriceAdmin(RecordAdmin):
    list_display = ("model", "effective_from", *PRICE_FIELDS[:3], "source")
    list_filter = ("source", "effective_from")
    list_select_related = ("model",)
    search_fields = ("model__name", "model__model_id", "source")
    autocomplete_fields = ("model",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ModelAccess)
class ModelAccessAdmin(RecordAdmin):
    list_display = ("model", "group")
    list_filter = ("group",)
    list_select_related = ("model", "group")
    search_fields = ("model__name", "group__name")
    autocomplete_fields = ("model", "group")
