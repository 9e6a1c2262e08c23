"""Credentials: whose key, where for and in what state. The key itself goes in and never comes out."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from registry.access import audit
from registry.admin.base import RecordForm, note
from registry.admin.secret_fields import SecretFieldsMixin
from registry.admin.test_connection import TestableAdmin
from registry.models import Credential


class CredentialColumns:
    """How a credential is shown in any list."""

    @admin.display(description="whose", ordering="owner")
    def whose(self, row: Credential) -> str:
        return "shared" if row.owner is None else row.owner.get_username()

    @admin.display(description="key")
    def key(self, row: Credential) -> str:
        names = f" + {', '.join(row.header_names)}" if row.header_names else ""
        if row.last_four:
            return f"····{row.last_four}{names}"
        return ("set" if row.fingerprint else "none") + names


class CredentialForm(SecretFieldsMixin, RecordForm):
    class Meta:
        model = Credential
        exclude: ClassVar[tuple[str, ...]] = ("owner",)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if self.instance._state.adding and not (data.get("api_key") or data.get("headers") or self.errors):
            raise ValidationError("Enter a key, or headers that carry one.")
        return data


class ForeignCredentialForm(forms.ModelForm):  # type: ignore[type-arg]  # generic to the stubs alone
    """For another person's key: an admin may switch it off, and that is all."""

    class Meta:
        model = Credential
        fields = ("enabled",)


@admin.register(Credential)
class CredentialAdmin(CredentialColumns, TestableAdmin):
    form = CredentialForm
    everybodys = True
    list_display = (
        "label",
        "provider",
        "whose",
        "key",
        "fingerprint",
        "state",
        "enabled",
        "last_used_at",
        "expires_at",
    )
    list_filter = (
        "state",
        "enabled",
        ("provider", admin.RelatedOnlyFieldListFilter),
        ("owner", admin.EmptyFieldListFilter),
    )
    list_select_related = ("provider", "owner")
    search_fields = ("label", "provider__name", "provider__slug", "owner__username", "last_four", "fingerprint")
    autocomplete_fields = ("provider",)
    shown = ("whose", "key", "fingerprint", "origin", "state", "last_error", "last_used_at", "created_at", "updated_at")

    def is_foreign(self, request: HttpRequest, obj: Any) -> bool:
        return obj is not None and obj.owner_id not in (None, request.user.pk)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if self.is_foreign(request, obj):
            kwargs["form"] = ForeignCredentialForm
        return super().get_form(request, obj, change, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if self.is_foreign(request, obj):
            return ("provider", "label", "weight", "expires_at", *self.shown)
        return self.shown if obj is None else ("provider", *self.shown)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        row = (None, {"fields": ("provider", "label", "enabled", "weight", "expires_at")})
        secret = ("Key", {"fields": ("api_key", "headers", "clear_headers")})
        known = ("What is known of it", {"fields": self.shown})
        if self.is_foreign(request, obj):
            return (row, known)
        return (row, secret) if obj is None else (row, secret, known)

    def may_test(self, request: HttpRequest, obj: Any) -> bool:
        return not self.is_foreign(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not getattr(form, "secret_given", False):
            super().save_model(request, obj, form, change)
            return
        before = audit.snapshot(type(obj)._base_manager.get(pk=obj.pk)) if change else None
        form.store_secret(obj)
        note(request, "change" if change else "create", obj, before)
