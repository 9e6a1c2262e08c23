"""What providers list otherwise than the registry: looked up one by one, shown, and applied when told to."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_GET, require_POST

from registry.access import audit
from registry.admin.base import admins_only
from registry.discovery.refresh import apply_changes, refresh_providers
from registry.models import DiscoveryChange, DiscoveryRun, Provider

SHOWN = 500  # changes of one provider on the page


def shared_providers() -> Any:
    return Provider.objects.shared().filter(enabled=True, dry_run=False).exclude(adapter="stub").order_by("name")


@require_GET
@admins_only
def page(request: HttpRequest) -> HttpResponse:
    rows = [state_of(provider) for provider in shared_providers()]
    context = {**admin.site.each_context(request), "title": "Discovery", "rows": rows}
    return TemplateResponse(request, "admin/discovery.html", context)


def state_of(provider: Provider) -> dict[str, Any]:
    """The provider, its last look, and what of it waits to be applied."""
    run = DiscoveryRun.objects.filter(provider=provider).order_by("-created_at").first()
    waiting = DiscoveryChange.objects.filter(run__provider=provider, applied_at__isnull=True).order_by(
        "kind", "upstream_id"
    )
    return {"provider": provider, "run": run, "changes": waiting[:SHOWN], "count": waiting.count()}


@require_POST
@admins_only
def look(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Ask one provider now. The page asks each of them this way, so that each is shown as it answers."""
    provider = get_object_or_404(Provider.objects.shared(), pk=pk)
    refresh_providers([provider])
    if request.headers.get("HX-Request") == "true":
        return TemplateResponse(request, "admin/discovery_row.html", {"row": state_of(provider)})
    return redirect("admin:discovery")


@require_POST
@admins_only
def apply(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Apply the chosen changes of one provider."""
    provider = get_object_or_404(Provider.objects.shared(), pk=pk)
    chosen = []
    for text in request.POST.getlist("change"):
        try:
            chosen.append(uuid.UUID(text))
        except ValueError:
            continue
    waiting = DiscoveryChange.objects.filter(run__provider=provider, applied_at__isnull=True, pk__in=chosen)
    runs = DiscoveryRun.objects.filter(pk__in=waiting.values("run_id"))
    enable = request.POST.get("enable") == "1"
    with transaction.atomic():
        applied = sum(apply_changes(run, enable_new=enable, changes=chosen) for run in runs)
        if applied:
            address = request.META.get("REMOTE_ADDR")
            audit.record(request.user, "discover", provider, None, {"applied": applied, "enabled": enable}, address)
    messages.success(request, f"{applied} change{'' if applied == 1 else 's'} of {provider} applied.")
    return redirect("admin:discovery")
