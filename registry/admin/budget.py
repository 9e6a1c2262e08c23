"""Budgets and the slices that workers hold of them."""

from __future__ import annotations

from django.contrib import admin

from registry.admin.base import ReadOnlyAdmin, SwitchableAdmin
from registry.models import Budget, BudgetLease


@admin.register(Budget)
class BudgetAdmin(SwitchableAdmin):
    everybodys = True
    list_display = ("__str__", "window", "amount", "spent", "leased", "enabled")
    list_filter = ("enabled", "window")
    list_select_related = ("user", "group", "token", "model")
    search_fields = ("user__username", "group__name", "token__name", "model__name")
    autocomplete_fields = ("user", "group", "token", "model")
    readonly_fields = ("spent", "leased", "window_start")


@admin.register(BudgetLease)
class BudgetLeaseAdmin(ReadOnlyAdmin):
    list_display = ("budget", "holder", "amount", "window_start", "expires_at")
    list_filter = ("expires_at",)
    list_select_related = ("budget__user", "budget__group", "budget__token", "budget__model")
    search_fields = ("holder",)
