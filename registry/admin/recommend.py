"""Which model to take: ranked for a module or a sample prompt, each with its reasons."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_http_methods

from adapters.errors import InvalidRequestError
from registry.admin.base import admins_only
from registry.discovery.recommend import Recommendation, recommend
from registry.routing.requirements import NAMES, read_requirements


class RecommendForm(forms.Form):
    module = forms.SlugField(required=False, help_text="translate, vn-chat, narrator, battle, json, ...")
    prompt = forms.CharField(
        required=False, max_length=100_000, widget=forms.Textarea(attrs={"rows": 6}), label="Sample prompt"
    )
    requires_tools = forms.BooleanField(required=False, label="tools")
    requires_vision = forms.BooleanField(required=False, label="vision")
    requires_json_mode = forms.BooleanField(required=False, label="JSON mode")
    requires_reasoning = forms.BooleanField(required=False, label="reasoning")
    max_cost_per_1m_input = forms.DecimalField(required=False, min_value=0, label="Input price, at most (USD per 1M)")


@require_http_methods(["GET", "POST"])
@admins_only
def page(request: HttpRequest) -> HttpResponse:
    """POST because a prompt is no part of an address. It calls nobody and changes nothing."""
    form = RecommendForm(request.POST or None)
    ranked: list[Recommendation] | None = None
    if form.is_bound and form.is_valid():
        data: dict[str, Any] = form.cleaned_data
        try:
            wanted = read_requirements({name: data[name] for name in NAMES & data.keys() if data[name]})
            ranked = recommend(request.user, module=data["module"], prompt=data["prompt"], requirements=wanted)
        except InvalidRequestError as error:
            form.add_error(None, str(error))
    context = {**admin.site.each_context(request), "title": "Recommend a model", "form": form, "ranked": ranked}
    return TemplateResponse(request, "admin/recommend.html", context)
