"""The performance lab's page: measures one model within a ceiling, and shows what was learnt."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.views.decorators.http import require_http_methods

from adapters.errors import LLMError
from registry.admin.base import admins_only
from registry.discovery.lab import CEILING_USD, STEPS, LabError, LabReport, measure
from registry.models import LLMModel


class LabForm(forms.Form):
    ceiling = forms.DecimalField(min_value=0, max_value=10, initial=CEILING_USD, label="At most (USD)")
    steps = forms.MultipleChoiceField(
        choices=[(name, name.replace("_", " ")) for name in STEPS],
        initial=list(STEPS),
        widget=forms.CheckboxSelectMultiple,
    )
    allow_unpriced = forms.BooleanField(required=False, label="Also when its price is not known")


@require_http_methods(["GET", "POST"])
@admins_only
def page(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """GET asks for the ceiling; POST calls the model."""
    model = get_object_or_404(LLMModel.objects.visible_to(request.user).select_related("provider"), pk=pk)
    form = LabForm(request.POST or None)
    report: LabReport | None = None
    if request.method == "POST" and form.is_valid():
        try:
            report = measure(
                model,
                request.user,
                ceiling_usd=form.cleaned_data["ceiling"],
                steps=tuple(form.cleaned_data["steps"]),
                allow_unpriced=form.cleaned_data["allow_unpriced"],
                address=request.META.get("REMOTE_ADDR"),
            )
        except (LabError, LLMError) as error:
            form.add_error(None, str(error))
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": f"Measure {model}",
        "model": model,
        "form": form,
        "report": report,
    }
    return TemplateResponse(request, "admin/measure.html", context)
