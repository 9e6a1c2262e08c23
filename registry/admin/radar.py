"""Models that go away: where they are used, and the one step that puts another in their place."""

from __future__ import annotations

import uuid

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_GET, require_POST

from registry.admin.base import admins_only
from registry.discovery.radar import AHEAD_DAYS, missing_ranks, remap, retirements, take_successors
from registry.models import LLMModel, Preset

SHOWN = 200  # models that go away on the page, and models to choose from for each


@require_GET
@admins_only
def page(request: HttpRequest) -> HttpResponse:
    choices = LLMModel.objects.shared().filter(enabled=True, provider__enabled=True).select_related("provider")
    context = {
        **admin.site.each_context(request),
        "title": "Models that go away",
        "found": retirements()[:SHOWN],
        "missing": missing_ranks(),
        "choices": choices[:SHOWN],
        "ahead_days": AHEAD_DAYS,
    }
    return TemplateResponse(request, "admin/retirements.html", context)


@require_POST
@admins_only
def remap_one(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    old = get_object_or_404(LLMModel.objects.shared(), pk=pk)
    try:
        new = LLMModel.objects.shared().filter(pk=uuid.UUID(request.POST.get("successor", ""))).first()
        if new is None:
            raise ValueError("Choose a model to put in its place.")
        done = remap(old, new, actor=request.user, address=request.META.get("REMOTE_ADDR"))
    except ValueError as error:
        text = str(error) if "hexadecimal" not in str(error) else "Choose a model to put in its place."
        messages.error(request, text)
        return redirect("admin:retirements")
    told = ", ".join(f"{count} {what}" for what, count in done.counts.items() if count)
    messages.success(request, f"{new} is in the place of {old}: {told or 'nothing named it'}.")
    return redirect("admin:retirements")


@require_POST
@admins_only
def renew_preset(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    preset = get_object_or_404(Preset.objects.shared(), pk=pk)
    count = take_successors(preset, actor=request.user, address=request.META.get("REMOTE_ADDR"))
    messages.success(request, f"{count} rank{'' if count == 1 else 's'} of {preset} now name today's models.")
    return redirect("admin:retirements")
