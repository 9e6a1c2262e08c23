"""Budgets and the slices that workers hold of them."""

from __future__ import annotations

from django.contrib import admin

from registry.admin.base import ReadOnlyAdmin, SwitchableAdmin
from registry.models import Budget, BudgetLease, RateLimit


@admin.register(Budget)
class BudgetAdmin(SwitchableAdmin):
    everybodys = True
    list_display = ("__str__", "window", "amount", "spent_now", "leased_now", "left", "enabled")
    list_filter = ("enabled", "window")
    list_select_related = ("user", "group", "token", "model")
    search_fields = ("user__username", "group__name", "token__name", "model__name")
    autocomplete_fields = ("user", "group", "token", "model")
    readonly_fields = ("spent_now", "leased_now", "left", "window_start")


@admin.register(RateLimit)
class RateLimitAdmin(SwitchableAdmin):
    everybodys = True
    list_display = ("__str__", "requests_per_minute", "tokens_per_minute", "concurrency", "enabled")
    list_filter = ("enabled",)
    list_select_related = ("user", "group", "model", "provider", "credential__provider")
    search_fields = ("user__username", "group__name", "model__name", "provider__slug")
    autocomplete_fields = ("user", "group", "model", "provider", "credential")


@admin.register(BudgetLease)
class BudgetLeaseAdmin(ReadOnlyAdmin):
    list_display = ("budget", "holder", "amount", "window_start", "expires_at")
    list_filter = ("expires_at",)
    list_select_related = ("budget__user", "budget__group", "budget__token", "budget__model")
    search_fields = ("holder",)
