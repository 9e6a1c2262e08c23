"""The catalogue as people see it: a list that is searched while one types, a picker's options, one's default model."""

from __future__ import annotations

import uuid
from itertools import groupby
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from registry.models import LLMModel
from registry.web.choices import usable_models, with_payers
from registry.web.model_search import ModelFilter, provider_names, tags_of, with_text
from registry.web.page import is_partial, person, preferences_of, show, signed_in

PER_PAGE = 40  # as many as a tall screen shows; the next ones come when they are scrolled to
MAX_OPTIONS = 60


@require_GET
@signed_in
def models(request: HttpRequest) -> HttpResponse:
    form = ModelFilter(request.GET)
    usable = usable_models(person(request))
    page = Paginator(form.narrow(usable), PER_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context: dict[str, Any] = {
        "choices": with_payers(page.object_list, person(request), preferences_of(request)),
        "page": page,
        "query": query.urlencode(),
        "filtered": form.is_narrowed,
        "cards": form.values().get("view") == "cards",
        "default_id": preferences_of(request).default_model_id,
    }
    if is_partial(request):
        whole = request.headers.get("HX-Target") == "results"
        return show(request, "web/models_results.html" if whole else "web/models_more.html", context)
    context |= {"form": form, "providers": provider_names(usable), "tags": tags_of(usable)}
    return show(request, "web/models.html", context, section="models")


@require_GET
@signed_in
def options(request: HttpRequest) -> HttpResponse:
    """What a model picker shows: a bounded list, grouped by provider. The client says more to see others."""
    text = request.GET.get("q", "")[:200]
    rows = list(with_text(usable_models(person(request)), text)[: MAX_OPTIONS + 1])
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
    messages.success(request, _("%(model)s answers from now on when nothing else is named.") % {"model": model})
    return redirect("model", pk=model.pk)
