"""Providers: where models are called, with their keys written and never shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from adapters.errors import ConfigurationError
from adapters.kinds import KINDS
from registry.access import audit
from registry.admin.base import RecordAdmin, RecordForm, RecordInline, note
from registry.admin.credential import CredentialColumns
from registry.admin.secret_fields import SecretFieldsMixin, first_shared_credential
from registry.admin.test_connection import TestableAdmin
from registry.catalog.environment import override_of
from registry.models import Credential, Provider, ProviderAccess


class ProviderForm(SecretFieldsMixin, RecordForm):
    class Meta:
        model = Provider
        exclude: ClassVar[tuple[str, ...]] = ("owner",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = KINDS.get(self.instance.adapter)
        if "base_url" in self.fields:
            default = f" {kind.label}: {kind.base_url}" if kind and kind.base_url else ""
            self.fields["base_url"].help_text = f"Empty takes the kind's own address.{default}"
            self.fields["base_url"].widget.attrs["size"] = 60


class CredentialInline(CredentialColumns, RecordInline):
    """What is known of the keys. To replace one, open it."""

    model = Credential
    fields = ("whose", "label", "key", "fingerprint", "state", "enabled", "last_used_at", "last_error")
    readonly_fields = fields
    show_change_link = True
    max_num = 0
    verbose_name_plural = "keys"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).select_related("owner", "provider")


@admin.register(Provider)
class ProviderAdmin(TestableAdmin):
    form = ProviderForm
    inlines = (CredentialInline,)
    list_display = ("name", "slug", "adapter", "whose", "enabled", "health", "keys", "base_url")
    list_filter = ("enabled", "health_state", "adapter", "dry_run")
    list_select_related = ("owner",)
    ordering = ("name", "id")  # said here too: a counted query forgets the model's own
    search_fields = ("name", "slug", "base_url")
    readonly_fields = ("whose", "environment", "health", "health_error", "template", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("name", "slug", "adapter", "base_url", "auth_type", "enabled", "whose")}),
        ("Shared key", {"fields": ("api_key", "headers", "clear_headers")}),
        ("Health", {"fields": ("health", "health_error")}),
        ("Environment", {"fields": ("environment",)}),
        (
            "Calls and costs",
            {
                "classes": ("collapse",),
                "fields": ("timeout_s", "fee_percent", "dry_run", "settings", "metadata", "template"),
            },
        ),
        ("Times", {"classes": ("collapse",), "fields": ("created_at", "updated_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        usable = models.Q(credentials__enabled=True, credentials__owner=None, credentials__state="ok")
        rows: models.QuerySet[Any] = super().get_queryset(request)
        counted: models.QuerySet[Any] = rows.annotate(shared_keys=models.Count("credentials", filter=usable))
        return counted

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Sequence[str]]:
        return {} if obj else {"slug": ("name",)}

    @admin.display(description="owner", ordering="owner")
    def whose(self, row: Provider) -> str:
        return "everybody" if row.owner is None else row.owner.get_username()

    @admin.display(description="health", ordering="health_state")
    def health(self, row: Provider) -> SafeString | str:
        if row.health_checked_at is None:
            return row.get_health_state_display()
        text = format_html('<span class="state state-{}">{}</span>', row.health_state, row.get_health_state_display())
        took = "" if row.health_latency_ms is None else f"{row.health_latency_ms} ms, "
        when = row.health_checked_at.astimezone(dt.UTC)
        return format_html("{} <small>{}{} UTC</small>", text, took, f"{when:%Y-%m-%d %H:%M}")

    @admin.display(description="shared keys", ordering="shared_keys")
    def keys(self, row: Any) -> str:
        variable = row.metadata.get("environment_key")
        parts = [str(row.shared_keys)] if row.shared_keys else []
        parts += [f"in {variable}"] if variable else []
        return " + ".join(parts) or ("none needed" if row.auth_type == "none" else "none")

    @admin.display(description="overrides")
    def environment(self, row: Provider) -> SafeString | str:
        """Which variables speak for this provider. Names alone, and the address, which is no secret."""
        if row.owner_id is not None or not row.slug:
            return "The environment speaks of global providers alone."
        try:
            override = override_of(row.slug)
        except ConfigurationError as error:
            return str(error)
        lines = [
            (f"{_WHAT[name.rsplit('LLM_', 1)[1].rsplit('_', 1)[1]]} overridden by {name}",)
            for name in override.variables
        ]
        if override.base_url:
            lines.append(("Keys stored here are not sent while the address comes from the environment.",))
        variable = row.metadata.get("environment_key")
        if variable and variable not in override.variables:
            lines.append((f"{variable} holds a key; it is used when the provider is enabled and has no key here.",))
        return format_html_join("", "<p>{}</p>", lines) or "Nothing is overridden."

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        lost = change and "base_url" in form.changed_data and obj.credentials.exclude(origin=obj.origin).exists()
        super().save_model(request, obj, form, change)
        if lost:
            messages.warning(request, "The address changed: stored keys were cleared and have to be entered again.")
        if form.secret_given:
            self.store_key(request, obj, form)

    def store_key(self, request: HttpRequest, provider: Provider, form: ProviderForm) -> None:
        """Write the shared key; a template's provider that waited for its first key is enabled by it."""
        credential = first_shared_credential(provider)
        known = not credential._state.adding
        before = audit.snapshot(credential) if known else None
        form.store_secret(credential)
        note(request, "change" if known else "create", credential, before)
        waited = not known and provider.template and not provider.enabled and "enabled" not in form.changed_data
        if waited:
            provider.enabled = True
            provider.save(update_fields=["enabled", "updated_at"])
            messages.success(request, f"{provider} has its first key and is enabled.")


_WHAT = {"URL": "Base URL", "KEY": "API key", "HEADERS": "Headers", "TIMEOUT": "Timeout"}


@admin.register(ProviderAccess)
class ProviderAccessAdmin(RecordAdmin):
    """Groups that may use a provider; without one, everybody."""

    list_display = ("provider", "group")
    list_filter = ("group",)
    list_select_related = ("provider", "group")
    search_fields = ("provider__name", "group__name")
    autocomplete_fields = ("provider", "group")
