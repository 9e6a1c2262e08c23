"""The catalogue as people see it: a list with search and filters, a model picker's options, one's default model."""

from __future__ import annotations

import uuid
from itertools import groupby
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_POST

from registry.models import LLMModel, Provider, Tier
from registry.web.choices import CAPABILITY_LABELS, SHOWN_CAPABILITIES, search, usable_models, with_payers
from registry.web.page import is_partial, person, preferences_of, show, signed_in

PER_PAGE = 50
MAX_OPTIONS = 60


class FilterForm(forms.Form):
    """What narrows the list. A value that makes no sense narrows nothing."""

    q = forms.CharField(required=False, max_length=200)
    provider = forms.UUIDField(required=False)
    tier = forms.ChoiceField(required=False, choices=[("", "Any tier"), *Tier.choices])
    capability = forms.ChoiceField(
        required=False,
        choices=[("", "Any capability"), *((name, CAPABILITY_LABELS[name]) for name in SHOWN_CAPABILITIES)],
    )
    owned = forms.ChoiceField(
        required=False, choices=[("", "Own and shared"), ("own", "Only my own"), ("shared", "Only shared")]
    )
    tag = forms.CharField(required=False, max_length=64)

    def filters(self) -> dict[str, Any]:
        self.is_valid()
        values = {name: self.cleaned_data.get(name) for name in self.fields}
        return {("text" if name == "q" else name): value for name, value in values.items() if value}


@require_GET
@signed_in
def models(request: HttpRequest) -> HttpResponse:
    form = FilterForm(request.GET)
    filters = form.filters()
    rows = search(usable_models(person(request)), **filters)
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context: dict[str, Any] = {
        "choices": with_payers(page.object_list, person(request), preferences_of(request)),
        "page": page,
        "query": query.urlencode(),
        "filtered": bool(filters),
        "default_id": preferences_of(request).default_model_id,
    }
    if is_partial(request):
        return show(request, "web/models_results.html", context)
    providers = Provider.objects.visible_to(request.user).filter(enabled=True).values_list("id", "name")
    return show(request, "web/models.html", {**context, "form": form, "providers": providers}, section="models")


@require_GET
@signed_in
def options(request: HttpRequest) -> HttpResponse:
    """What a model picker shows: a bounded list, grouped by provider. The client says more to see others."""
    text = request.GET.get("q", "")[:200]
    rows = list(search(usable_models(person(request)), text=text)[: MAX_OPTIONS + 1])
    choices = with_payers(rows[:MAX_OPTIONS], person(request), preferences_of(request))
    groups = [(name, list(part)) for name, part in groupby(choices, key=lambda choice: choice.model.provider.name)]
    context = {"groups": groups, "more": len(rows) > MAX_OPTIONS, "text": text}
    return show(request, "web/options.html", context)


@require_POST
@signed_in
def make_default(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    model = get_object_or_404(LLMModel.objects.usable_by(person(request)), pk=pk)
    preferences = preferences_of(request)
    preferences.default_model = model
    preferences.save()
    messages.success(request, f"{model} answers from now on when nothing else is named.")
    return redirect("models")
