"""Usage: what the recorder wrote, to look at."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from registry.admin.base import ReadOnlyAdmin
from registry.models import UsageAttempt, UsageDay, UsageRecord, UsageRollup, UsageSlice


class AttemptInline(admin.TabularInline):  # type: ignore[type-arg]  # generic to the stubs alone
    model = UsageAttempt
    fields = (
        "number",
        "model_name",
        "provider_slug",
        "credential_scope",
        "state",
        "error_code",
        "upstream_status",
        "latency_ms",
    )
    readonly_fields: ClassVar[tuple[str, ...]] = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    inlines = (AttemptInline,)
    list_display = (
        "created_at", "username", "model_name", "provider_slug", "state", "input_tokens", "output_tokens", "cost",
        "credential_scope", "attempts", "latency_ms",
    )  # fmt: skip
    list_filter = ("state", "credential_scope", "cost_status", "streamed", "created_at")
    search_fields = ("=request_id", "username", "model_name", "provider_slug", "token_name")
    search_help_text = "Request id, user, model, provider or token"


@admin.register(UsageAttempt)
class UsageAttemptAdmin(ReadOnlyAdmin):
    list_display = (
        "started_at",
        "record",
        "number",
        "model_name",
        "provider_slug",
        "state",
        "error_code",
        "latency_ms",
    )
    list_filter = ("state", "credential_scope", "started_at")
    list_select_related = ("record",)
    ordering = ("-started_at",)
    search_fields = ("=record__request_id", "model_name", "provider_slug", "error_code")


@admin.register(UsageRollup)
class UsageRollupAdmin(ReadOnlyAdmin):
    list_display = (
        "hour",
        "username",
        "model_name",
        "provider_slug",
        "calls",
        "errors",
        "input_tokens",
        "output_tokens",
        "cost",
    )
    list_filter = ("credential_scope", "hour")
    ordering = ("-hour", "model_name")
    search_fields = ("username", "model_name", "provider_slug", "token_name")


@admin.register(UsageDay)
class UsageDayAdmin(ReadOnlyAdmin):
    list_display = ("day", *UsageRollupAdmin.list_display[1:])
    list_filter = ("credential_scope", "day")
    ordering = ("-day", "model_name")
    search_fields = UsageRollupAdmin.search_fields


@admin.register(UsageSlice)
class UsageSliceAdmin(ReadOnlyAdmin):
    list_display = ("at", "kind", "label", "calls", "errors", "input_tokens", "output_tokens", "cost")
    list_filter = ("kind", "at")
    ordering = ("-at", "kind", "label")
    search_fields = ("label",)
