"""A person's keys: add in three steps, test, replace, turn off, delete; and whose key pays."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from registry.access import audit
from registry.catalog.templates import TEMPLATES
from registry.models import Credential, LLMModel, Provider
from registry.web.key_forms import AddKeyForm, PolicyForm, ReplaceKeyForm, addable
from registry.web.page import address_of, is_partial, person, preferences_of, show, signed_in


def my_keys(request: HttpRequest) -> QuerySet[Credential]:
    return Credential.objects.editable_by(person(request)).select_related("provider")


@signed_in
def keys(request: HttpRequest) -> HttpResponse:
    preferences = preferences_of(request)
    form = PolicyForm(request.POST or None, instance=preferences)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("keys")
    rows = list(my_keys(request))
    providers = Provider.objects.filter(owner=person(request)).annotate(model_count=Count("models"))
    context = {
        "own": [row for row in rows if row.owner_id],
        "shared": [row for row in rows if not row.owner_id],
        "providers": providers,
        "form": form,
    }
    return show(request, "web/keys.html", context, section="keys")


@sensitive_post_parameters("api_key")
@signed_in
def add(request: HttpRequest) -> HttpResponse:
    """Step one without a choice in the URL, step two with it; saving leads to step three, the test."""
    chosen = _chosen(request)
    if chosen is None:
        providers, templates = addable(person(request))
        context: dict[str, Any] = {"providers": providers, "templates": templates}
        return show(request, "web/key_choose.html", context, section="keys")
    starting = "start" in request.GET
    form = AddKeyForm(request.POST or None, user=person(request), initial={"everyone": starting}, **chosen)
    if request.method == "POST" and form.is_valid() and (made := _save(request, form)):
        return redirect(f"{made}?start=1" if starting else made)
    return show(request, "web/key_add.html", {"form": form, "starting": starting, **chosen}, section="keys")


def _chosen(request: HttpRequest) -> dict[str, Any] | None:
    if slug := request.GET.get("template"):
        if slug not in TEMPLATES or slug == "stub":
            raise Http404
        return {"template": TEMPLATES[slug]}
    if key := request.GET.get("provider"):
        try:
            return {"provider": get_object_or_404(Provider.objects.visible_to(person(request)), pk=uuid.UUID(key))}
        except ValueError:
            raise Http404 from None
    return None


def _save(request: HttpRequest, form: AddKeyForm) -> str | None:
    """Save and answer where to go on; None after noting on the form what is wrong."""
    try:
        with transaction.atomic():
            provider, credential = form.save()
            row = credential or provider
            audit.record(person(request), "create", row, None, audit.snapshot(row), address_of(request))
    except ValidationError as error:
        problems = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
        for name, texts in problems.items():
            for text in texts:
                form.add_error(name if name in form.fields else None, text)
        return None
    if credential is None:
        return reverse("provider_added", args=[provider.pk])
    return reverse("key_added", args=[credential.pk])


@require_GET
@signed_in
def added(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Step three: the test runs as soon as the page is there, and the models that the key opened are listed."""
    credential = get_object_or_404(my_keys(request), pk=pk)
    context = {"credential": credential, "provider": credential.provider, **_models_of(request, credential.provider)}
    return show(request, "web/key_added.html", context, section="keys")


@require_GET
@signed_in
def provider_added(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    provider = get_object_or_404(Provider.objects.editable_by(person(request)), pk=pk)
    return show(request, "web/key_added.html", {"provider": provider, **_models_of(request, provider)}, section="keys")


def _models_of(request: HttpRequest, provider: Provider) -> dict[str, Any]:
    rows = LLMModel.objects.usable_by(person(request)).filter(provider=provider)
    return {"models": rows[:12], "model_count": rows.count()}


@sensitive_post_parameters("api_key")
@signed_in
def replace(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    credential = get_object_or_404(my_keys(request), pk=pk)
    form = ReplaceKeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        before = audit.snapshot(credential)
        with transaction.atomic():
            credential.set_secret(form.cleaned_data["api_key"])
            audit.record(
                person(request), "replace", credential, before, audit.snapshot(credential), address_of(request)
            )
        return redirect("key_added", credential.pk)
    return show(request, "web/key_replace.html", {"form": form, "credential": credential}, section="keys")


@require_POST
@signed_in
def toggle(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    credential = get_object_or_404(my_keys(request), pk=pk)
    before = audit.snapshot(credential)
    with transaction.atomic():
        credential.enabled = not credential.enabled
        credential.save(update_fields=["enabled", "updated_at"])
        audit.record(person(request), "change", credential, before, audit.snapshot(credential), address_of(request))
    if is_partial(request):
        return show(request, "web/key_card.html", {"credential": credential})
    messages.success(request, f"{credential.provider} is {'on' if credential.enabled else 'off'}.")
    return redirect("keys")


@signed_in
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    credential = get_object_or_404(my_keys(request), pk=pk)
    if request.method != "POST":
        context = {"title": f"Delete the key for {credential.provider}?", "what": str(credential), "back": "keys"}
        return show(request, "web/confirm.html", context, section="keys")
    with transaction.atomic():
        audit.record(person(request), "delete", credential, audit.snapshot(credential), None, address_of(request))
        credential.delete()
    messages.success(request, "The key was deleted.")
    return redirect("keys")


@signed_in
def delete_provider(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Only one's own: the hub's providers are the admin's matter."""
    provider = get_object_or_404(Provider.objects.filter(owner=person(request)), pk=pk)
    if request.method != "POST":
        what = f"{provider}, its keys and its models"
        context = {"title": f"Remove {provider}?", "what": what, "back": "keys"}
        return show(request, "web/confirm.html", context, section="keys")
    with transaction.atomic():
        audit.record(person(request), "delete", provider, audit.snapshot(provider), None, address_of(request))
        provider.delete()
    messages.success(request, f"{provider} was removed.")
    return redirect("keys")
