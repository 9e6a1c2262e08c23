"""Access tokens: made here, shown once, revoked; the digest is on no page."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache

from registry.admin.base import RecordAdmin, RecordForm, note
from registry.admin.list_fields import ChosenField, WordsField
from registry.models import SCOPES, AccessToken
from registry.models.access_token import TOKEN_PREFIX, default_scopes

LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency")
GIVEN = ("owner", "name", "scopes", "allowed_models", "networks", *LIMITS, "expires_at")


class AccessTokenForm(RecordForm):
    scopes = ChosenField(words=SCOPES, initial=default_scopes)
    allowed_models = WordsField(help_text="Names, one a line; empty is every model the owner may use.")
    networks = WordsField(help_text="Where it may be used from (10.0.0.0/8), one a line; empty is everywhere.")

    class Meta:
        model = AccessToken
        fields = GIVEN

    def clean_networks(self) -> list[str]:
        networks: list[str] = self.cleaned_data["networks"]
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValidationError(f"{network} is no network.") from None
        return networks


class LiveFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "not revoked"), ("revoked", "revoked")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        wanted = {"live": True, "revoked": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(revoked_at__isnull=wanted)


@admin.register(AccessToken)
class AccessTokenAdmin(RecordAdmin):
    form = AccessTokenForm
    everybodys = True
    actions = ("revoke",)
    list_display = ("name", "visible_part", "owner", "live", "expires_at", "last_used_at", "session")
    list_filter = (LiveFilter, "session", "expires_at")
    list_select_related = ("owner",)
    search_fields = ("name", "prefix", "owner__username")
    autocomplete_fields = ("owner",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = ("visible_part", "live", "revoked_at", "last_used_at", "session", "created_at")
        return () if obj is None else ("owner", *shown)

    @admin.display(description="begins with", ordering="prefix")
    def visible_part(self, row: AccessToken) -> str:
        return f"{TOKEN_PREFIX}{row.prefix}_…"

    @admin.display(description="live", boolean=True)
    def live(self, row: AccessToken) -> bool:
        return row.is_live

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        def change(row: AccessToken) -> bool:
            if row.revoked_at is not None:
                return False
            row.revoke()
            return True

        count = self.change_each(request, queryset, "revoke", change)
        self.message_user(request, f"{count} access tokens revoked.")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        # The row that the form built was never saved; the minted one takes its place, so that the log links to it.
        token, plaintext = AccessToken.mint(**{name: getattr(obj, name) for name in GIVEN})
        obj.__dict__.update(token.__dict__)
        request.minted_token = plaintext  # type: ignore[attr-defined]  # for response_add, in this request alone
        note(request, "create", token, None)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Show the token this once. It is in the answer to this POST and nowhere else: no session, no message."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The new token",
            "opts": self.opts,
            "token": obj,
            "plaintext": request.minted_token,  # type: ignore[attr-defined]  # set by save_model on this request
        }
        return never_cache(lambda request: TemplateResponse(request, "admin/registry/minted.html", context))(request)
