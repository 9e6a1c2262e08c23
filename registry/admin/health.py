"""Whether providers answer now, all asked at once, and how they did before."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_http_methods

from registry.admin.base import admins_only
from registry.discovery.diagnostics import check_providers
from registry.models import HealthCheck, Provider

HISTORY = 12  # last checks shown for each provider


@require_http_methods(["GET", "POST"])
@admins_only
def page(request: HttpRequest) -> HttpResponse:
    """GET shows the history; POST checks every enabled global provider first."""
    providers = list(Provider.objects.shared().filter(enabled=True).order_by("name"))
    checked: dict[Any, Any] = {}
    if request.method == "POST":
        checked = check_providers(providers, request.user, kept_s=0)
    history: dict[Any, list[HealthCheck]] = {provider.pk: [] for provider in providers}
    for check in HealthCheck.objects.filter(provider__in=providers)[: HISTORY * max(1, len(providers)) * 2]:
        if len(history[check.provider_id]) < HISTORY:
            history[check.provider_id].append(check)
    rows = [
        {"provider": provider, "check": checked.get(provider.pk), "history": history[provider.pk]}
        for provider in providers
    ]
    context = {**admin.site.each_context(request), "title": "Health of providers", "rows": rows, "now": bool(checked)}
    return TemplateResponse(request, "admin/health.html", context)
