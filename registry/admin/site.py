"""The admin site itself: its name, the numbers on its first page, and the pages that belong to no record."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, Sum
from django.http import HttpRequest
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import slugify

from registry.models import Credential, CredentialState, HealthState, Provider, UsageSlice

# The first page's sections, in the order of use; what stands in none comes last.
SECTIONS = (
    ("Models", ("Provider", "Credential", "LLMModel", "ModelPrice", "ModelAccess", "ProviderAccess")),
    ("Choice of a model", ("Preset", "PresetEntry", "Route", "RouteEntry", "PromptPack")),
    (
        "People and access",
        ("User", "Invitation", "Group", "UserSettings", "AccessToken", "Budget", "RateLimit", "EndpointPolicy"),
    ),
    ("Usage", ("UsageRecord", "UsageAttempt", "UsageRollup", "UsageDay", "UsageSlice", "BudgetLease")),
    (
        "Trail",
        ("AuditEvent", "RegistryChange", "HealthCheck", "DiscoveryRun", "DiscoveryChange", "RuntimeRegistration"),
    ),
    ("My own", ("Conversation", "Message", "Experiment", "Vote")),
)


class HubAdminSite(admin.AdminSite):
    site_title = "LLM Hub"
    site_header = "LLM Hub"
    index_title = "Administration"

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """By the hub's own sign-in page: the admin's would ask for no second factor and count no failures."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied
        if request.user.is_authenticated:
            return redirect("admin:index")
        return redirect_to_login(request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index"))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from registry.admin.attention import matters  # need the models, which load after this module
        from registry.catalog.first_steps import first_steps

        context: dict[str, Any] = {}
        if getattr(request.user, "is_superuser", False):
            context = {"numbers": today_in_numbers(), "matters": matters(), "steps": first_steps()}
        return super().index(request, context | (extra_context or {}))

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """All records by section instead of by Django application; one application's page stays as Django has it."""
        apps = super().get_app_list(request, app_label)
        if app_label is not None:
            return apps
        left = {row["object_name"]: row for app in apps for row in app["models"]}
        sections = []
        for title, names in SECTIONS:
            rows = [left.pop(name) for name in names if name in left]
            sections.append(_section(title, rows))
        sections.append(_section("Other", list(left.values())))
        return [section for section in sections if section["models"]]

    def get_urls(self) -> list[Any]:
        from registry.admin import discovery, health, lab, prices, radar  # they need the registry's models,
        from registry.admin.why import why_view  # which load after this module

        view = self.admin_view
        return [
            path("why/", view(why_view), name="why"),
            path("discovery/", view(discovery.page), name="discovery"),
            path("discovery/<uuid:pk>/look/", view(discovery.look), name="discovery_look"),
            path("discovery/<uuid:pk>/apply/", view(discovery.apply), name="discovery_apply"),
            path("health/", view(health.page), name="health"),
            path("prices/", view(prices.page), name="prices"),
            path("retirements/", view(radar.page), name="retirements"),
            path("retirements/<uuid:pk>/remap/", view(radar.remap_one), name="remap"),
            path("retirements/presets/<uuid:pk>/", view(radar.renew_preset), name="renew_preset"),
            path("measure/<uuid:pk>/", view(lab.page), name="measure"),
            *super().get_urls(),
        ]


def _section(title: str, rows: list[Any]) -> dict[str, Any]:
    # With a fragment: the templates mark every section as the current one whose address begins the page's own.
    url = f"{reverse('admin:index')}#{slugify(title)}"
    return {"name": title, "app_label": slugify(title), "app_url": url, "has_module_perms": True, "models": rows}


def today_in_numbers(now: dt.datetime | None = None) -> dict[str, Any]:
    """Providers by health, keys that need somebody, and today's (UTC) calls and spend in USD: four queries."""
    midnight = (now or timezone.now()).astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    shared = Provider.objects.shared().aggregate(
        on=Count("pk", filter=Q(enabled=True)),
        ok=Count("pk", filter=Q(enabled=True, health_state=HealthState.OK)),
        failing=Count("pk", filter=Q(enabled=True, health_state=HealthState.FAILING)),
        off=Count("pk", filter=Q(enabled=False)),
    )
    in_trouble = Credential.objects.shared().filter(enabled=True).exclude(state=CredentialState.OK).count()
    usage = UsageSlice.objects.filter(kind="day", at__gte=midnight).aggregate(
        calls=Sum("calls", default=0),
        errors=Sum("errors", default=0),
        cost=Sum("cost", default=0),
        unpriced=Sum("unpriced_calls", default=0),
        input_tokens=Sum("input_tokens", default=0),
        output_tokens=Sum("output_tokens", default=0),
    )
    return {"providers": shared, "keys_in_trouble": in_trouble, "usage": usage, "since": midnight}
