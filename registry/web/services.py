"""Service accounts: programs with tokens of their own. Managers make them, sponsors answer for them."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from registry.access import audit
from registry.models import AccessToken, Role, User
from registry.web.choices import usable_models
from registry.web.page import address_of, api_base_url, for_managers, person, show, signed_in
from registry.web.snippets import build_snippets
from registry.web.tokens import TokenForm


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's forms take no argument at run time
    sponsor = forms.ModelChoiceField(
        User.objects.filter(is_service=False, is_active=True).order_by("username"),
        label="Answers for it",
        help_text="May make and revoke its tokens.",
    )

    class Meta:
        model = User
        fields = ("username", "sponsor", "groups")
        labels = {"username": "Name"}  # Django's own attribute
        help_texts = {"username": "Such as “billing-job”.", "groups": ""}
        widgets = {"groups": forms.CheckboxSelectMultiple}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.fields["groups"].queryset.exists():  # type: ignore[attr-defined]  # a field of rows
            del self.fields["groups"]


@for_managers
def add(request: HttpRequest) -> HttpResponse:
    form = ServiceForm(request.POST or None, initial={"sponsor": person(request)})
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            user = form.save(commit=False)
            user.is_service, user.role = True, Role.USER
            user.set_unusable_password()
            user.save()
            form.save_m2m()
            audit.record(person(request), "create", user, None, audit.snapshot(user), address_of(request))
        messages.success(request, f"{user} was made. It needs a token now.")
        return redirect("service", pk=user.pk)
    return show(request, "people/service_add.html", {"form": form}, section="people")


@signed_in
def service(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One service account and its tokens: for its sponsor and for managers."""
    user = kept_by(request, pk)
    form = TokenForm(request.POST or None)
    form.narrow_to(user.scopes)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                token, plaintext = form.mint(user)
                audit.record(person(request), "create", token, None, audit.snapshot(token), address_of(request))
        except ValidationError as error:
            form.add_error(None, error)
        else:
            model = usable_models(user).values_list("name", flat=True).first() or "MODEL"
            snippets = build_snippets(api_base_url(request), plaintext, model)
            context = {"made": token, "plaintext": plaintext, "snippets": snippets, "service": user}
            return show(request, "web/token_made.html", context, section="people")
    tokens = [row for row in AccessToken.objects.filter(owner=user, session=False) if row.is_live]
    context = {"service": user, "form": form, "tokens": tokens, "may_close": person(request).is_manager}
    return show(request, "people/service.html", context, section="people")


@require_POST
@signed_in
def revoke(request: HttpRequest, pk: uuid.UUID, token_pk: uuid.UUID) -> HttpResponse:
    user = kept_by(request, pk)
    token = get_object_or_404(AccessToken.objects.filter(owner=user, session=False), pk=token_pk)
    before = audit.snapshot(token)
    with transaction.atomic():
        token.revoke()
        audit.record(person(request), "revoke", token, before, audit.snapshot(token), address_of(request))
    messages.success(request, f"{token.name} was revoked. It stops working everywhere within two seconds.")
    return redirect("service", pk=user.pk)


@require_POST
@for_managers
def toggle(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Close the account, so that none of its tokens works, or open it again."""
    user = kept_by(request, pk)
    before = audit.snapshot(user)
    with transaction.atomic():
        user.is_active = not user.is_active
        user.save()
        audit.record(person(request), "change", user, before, audit.snapshot(user), address_of(request))
    messages.success(request, f"{user} is {'open' if user.is_active else 'closed'} now.")
    return redirect("service", pk=user.pk)


def kept_by(request: HttpRequest, pk: uuid.UUID) -> User:
    """The service account, for managers and its sponsor; for others there is none. Raises Http404."""
    user = get_object_or_404(User, pk=pk, is_service=True)
    if not person(request).is_manager and user.sponsor_id != person(request).pk:
        raise Http404
    if "manage" not in person(request).scopes and request.method == "POST":
        raise PermissionDenied
    return user
