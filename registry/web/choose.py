"""Which model to take: ranked for a module or a sample prompt, each with its reasons. Calls nobody, changes nothing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from adapters.errors import InvalidRequestError
from registry.discovery.recommend import Recommendation, recommend
from registry.models import Preset, User
from registry.routing.requirements import NAMES, read_requirements
from registry.web.page import person, show, signed_in


class ChooseForm(forms.Form):
    module = forms.ChoiceField(required=False, label=_("What it is for"))
    prompt = forms.CharField(
        required=False,
        max_length=100_000,
        label=_("A prompt like yours"),
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Its length decides what a call costs and which contexts are long enough. It is not kept."),
    )
    requires_tools = forms.BooleanField(required=False, label=_("Calls tools"))
    requires_vision = forms.BooleanField(required=False, label=_("Reads images"))
    requires_json_mode = forms.BooleanField(required=False, label=_("Answers in JSON"))
    requires_reasoning = forms.BooleanField(required=False, label=_("Reasons"))
    max_cost_per_1m_input = forms.DecimalField(
        required=False, min_value=0, max_digits=18, label=_("Input price, at most ($ per 1M tokens)")
    )

    def __init__(self, *args: Any, user: User, **more: Any) -> None:
        super().__init__(*args, **more)
        presets = Preset.objects.visible_to(user).filter(enabled=True).exclude(module="").order_by("name")
        named = dict(presets.values_list("module", "name"))
        module = self.fields["module"]
        assert isinstance(module, forms.ChoiceField)
        module.choices = [("", _("Anything")), *named.items()]


@require_http_methods(["GET", "POST"])
@signed_in
def choose(request: HttpRequest) -> HttpResponse:
    """POST because a prompt is no part of an address."""
    form = ChooseForm(request.POST or None, user=person(request))
    ranked: list[Recommendation] | None = None
    if form.is_bound and form.is_valid():
        data: dict[str, Any] = form.cleaned_data
        try:
            wanted = read_requirements({name: data[name] for name in NAMES & data.keys() if data[name]})
            ranked = recommend(request.user, module=data["module"], prompt=data["prompt"], requirements=wanted)
        except InvalidRequestError as error:
            form.add_error(None, str(error))
    return show(request, "web/choose.html", {"form": form, "ranked": ranked}, section="models")
