"""Endpoint policies, runtime registrations, discovery, and the two logs that are only ever added to."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from registry.admin.base import ReadOnlyAdmin, RecordAdmin, SwitchableAdmin
from registry.models import (
    AuditEvent,
    DiscoveryChange,
    DiscoveryRun,
    EndpointPolicy,
    HealthCheck,
    RegistryChange,
    RuntimeRegistration,
)


@admin.register(EndpointPolicy)
class EndpointPolicyAdmin(SwitchableAdmin):
    everybodys = True
    list_display = ("target", "ports", "audience", "group", "enabled", "expires_at", "note")
    list_filter = ("enabled", "audience")
    list_select_related = ("group",)
    search_fields = ("target", "note", "group__name")
    autocomplete_fields = ("group",)


@admin.register(RuntimeRegistration)
class RuntimeRegistrationAdmin(RecordAdmin):
    """Programs announce these; an admin can look and take one away."""

    everybodys = True
    list_display = ("label", "slug", "provider", "owner", "base_url", "expires_at")
    list_filter = ("expires_at",)
    list_select_related = ("owner",)
    search_fields = ("label", "slug", "provider", "owner__username")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class DiscoveryChangeInline(admin.TabularInline):  # type: ignore[type-arg]  # generic to the stubs alone
    model = DiscoveryChange
    fields = ("kind", "upstream_id", "model", "applied_at")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).select_related("model", "run")


@admin.register(DiscoveryRun)
class DiscoveryRunAdmin(ReadOnlyAdmin):
    inlines = (DiscoveryChangeInline,)
    list_display = ("source", "provider", "state", "started_by", "created_at", "finished_at", "error")
    list_filter = ("state", "source", "created_at")
    list_select_related = ("provider", "started_by")
    search_fields = ("source", "provider__name", "provider__slug", "error")


@admin.register(DiscoveryChange)
class DiscoveryChangeAdmin(ReadOnlyAdmin):
    list_display = ("upstream_id", "kind", "run", "model", "created_at", "applied_at")
    list_filter = ("kind", "created_at")
    list_select_related = ("run", "model")
    search_fields = ("upstream_id", "model__name")


@admin.register(HealthCheck)
class HealthCheckAdmin(ReadOnlyAdmin):
    """Each provider's history: what every test, discovery and diagnosis found."""

    list_display = ("provider", "checked_at", "ok", "latency_ms", "model_count", "error_code", "error", "checked_by")
    list_filter = ("ok", ("provider", admin.RelatedOnlyFieldListFilter), "checked_at")
    list_select_related = ("provider", "checked_by")
    search_fields = ("provider__name", "provider__slug", "error", "error_code")


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor_name", "action", "table", "label", "address")
    list_filter = ("action", "table", "at")
    search_fields = ("actor_name", "label", "=row", "=address")


@admin.register(RegistryChange)
class RegistryChangeAdmin(ReadOnlyAdmin):
    list_display = ("sequence", "at", "table", "row")
    list_filter = ("table", "at")
    ordering = ("-sequence",)
    search_fields = ("=row", "table")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """It names the rows of everybody, so it is for admins alone."""
        return bool(getattr(request.user, "is_superuser", False)) and super().has_view_permission(request, obj)
