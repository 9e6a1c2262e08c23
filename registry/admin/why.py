"""Why this model: the same resolution as a live call, for any user, with every model dropped and the reason."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_GET

from adapters.errors import InvalidRequestError
from registry.access.people import principal_of
from registry.access.principals import Principal
from registry.catalog.django_registry import DjangoLLMRegistry
from registry.models import QualityTier, Tier, User
from registry.routing.requirements import NAMES, read_requirements
from registry.routing.resolve import Ask, Resolution, resolve

_FLAGS = ("requires_tools", "requires_vision", "requires_json_mode", "requires_streaming", "requires_reasoning")


class WhyForm(forms.Form):
    """What a call could name. Everything may be left empty: then the defaults decide."""

    user = forms.CharField(max_length=150, help_text="Whose call; their keys, groups and default model count.")
    model = forms.CharField(
        required=False, max_length=200, help_text="A name, alias, id, provider/model, tier:x, preset:x or auto."
    )
    tier = forms.ChoiceField(required=False, choices=[("", "any"), *Tier.choices])
    preset = forms.SlugField(required=False)
    module = forms.SlugField(required=False)
    provider = forms.SlugField(required=False)
    requires_tools = forms.BooleanField(required=False, label="tools")
    requires_vision = forms.BooleanField(required=False, label="vision")
    requires_json_mode = forms.BooleanField(required=False, label="JSON mode")
    requires_streaming = forms.BooleanField(required=False, label="streaming")
    requires_reasoning = forms.BooleanField(required=False, label="reasoning")
    min_context = forms.IntegerField(required=False, min_value=0, label="Context, at least (tokens)")
    max_cost_per_1m_input = forms.DecimalField(required=False, min_value=0, label="Input price, at most (USD per 1M)")
    max_cost_per_1m_output = forms.DecimalField(required=False, min_value=0, label="Output price, at most (USD per 1M)")
    quality_tier = forms.ChoiceField(required=False, choices=[("", "any"), *QualityTier.choices])
    tags = forms.CharField(required=False, max_length=300, help_text="Separated by commas.")

    def clean_user(self) -> User:
        user = User.objects.filter(username=self.cleaned_data["user"]).select_related("settings").first()
        if user is None or not user.is_active:
            raise ValidationError("There is no active user of this name.")
        return user

    @property
    def ask(self) -> Ask:
        data = self.cleaned_data
        named: dict[str, Any] = {
            name: data.get(name) or None for name in ("model", "tier", "preset", "module", "provider")
        }
        wanted = {name: data[name] for name in NAMES & data.keys() if name != "provider" and data[name]}
        return Ask(**named, requirements=read_requirements(wanted))

    @property
    def flags(self) -> list[forms.BoundField]:
        return [self[name] for name in _FLAGS]

    @property
    def rest(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in _FLAGS]


@require_GET
def why_view(request: HttpRequest) -> HttpResponse:
    """GET: it reads the registry as workers hold it, calls nobody and changes nothing."""
    if not getattr(request.user, "is_superuser", False):
        raise PermissionDenied
    form = WhyForm(request.GET) if "user" in request.GET else WhyForm(initial={"user": request.user.get_username()})
    resolution: Resolution | None = None
    if form.is_bound and form.is_valid():
        try:
            resolution = explain(form.ask, form.cleaned_data["user"])
        except InvalidRequestError as error:
            form.add_error(None, str(error))
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Why this model",
        "form": form,
        "resolution": resolution,
    }
    return TemplateResponse(request, "admin/why.html", context)


def explain(ask: Ask, user: User) -> Resolution:
    """What a call by `user` would take now."""
    groups = frozenset(Group.objects.filter(user=user).values_list("pk", flat=True))
    principal: Principal = principal_of(user, groups)
    return resolve(DjangoLLMRegistry(user_id=user.pk).fresh(), ask, principal)
