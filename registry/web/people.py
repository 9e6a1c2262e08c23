"""Managers' pages: people, roles, invitations, sessions. Whom a manager may not keep is shown and not changed."""

from __future__ import annotations

import uuid
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from registry.access import audit
from registry.models import RANKS, AccessToken, Invitation, User
from registry.web import second_factor
from registry.web.page import address_of, for_managers, person, show

PER_PAGE = 50


class InvitationForm(forms.Form):
    note = forms.CharField(label="For whom", max_length=120, help_text="A name or an address; only managers see it.")
    rank = forms.ChoiceField(label="Role", initial="user")
    groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, manager: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        narrow_to(self, manager)


class PersonForm(forms.Form):
    rank = forms.ChoiceField(label="Role")
    groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"), required=False, widget=forms.CheckboxSelectMultiple
    )
    is_active = forms.BooleanField(label="May sign in and call", required=False)

    def __init__(self, *args: Any, manager: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        narrow_to(self, manager)


def narrow_to(form: forms.Form, manager: User) -> None:
    """Offer the roles that this manager may give, and groups where there are any."""
    field = form.fields["rank"]
    assert isinstance(field, forms.ChoiceField)
    field.choices = [(rank, label) for rank, label in RANKS if manager.may_give(rank)]
    if not Group.objects.exists():
        del form.fields["groups"]


@for_managers
def people(request: HttpRequest) -> HttpResponse:
    """Who is there, who is invited, and the form that invites. The link is in that form's answer and no other."""
    manager = person(request)
    form = InvitationForm(request.POST or None, manager=manager)
    if request.method == "POST" and form.is_valid():
        row, secret = invite(manager, form.cleaned_data, address_of(request))
        url = request.build_absolute_uri(reverse("invitation", args=[secret]))
        return show(request, "people/invited.html", {"invitation": row, "url": url}, section="people")
    factors = Authenticator.objects.filter(user=OuterRef("pk")).exclude(type=Authenticator.Type.RECOVERY_CODES)
    rows = User.objects.filter(is_service=False).annotate(guarded=Exists(factors)).order_by("username")
    search = request.GET.get("search", "").strip()
    if search and "\0" not in search:
        rows = rows.filter(username__icontains=search)
    context = {
        "form": form,
        "page": Paginator(rows, PER_PAGE).get_page(request.GET.get("page")),
        "search": search,
        "invitations": Invitation.objects.visible_to(manager).open().select_related("invited_by"),
        "services": User.objects.filter(is_service=True).select_related("sponsor").order_by("username"),
    }
    return show(request, "people/people.html", context, section="people")


def invite(manager: User, wanted: dict[str, Any], address: str | None) -> tuple[Invitation, str]:
    """Make the invitation; answers the row and the link's secret part."""
    with transaction.atomic():
        row, secret = Invitation.make(
            invited_by=manager, note=wanted["note"], rank=wanted["rank"], life=settings.LLMHUB_INVITATION_LIFE
        )
        row.groups.set(wanted.get("groups") or [])
        audit.record(manager, "create", row, None, audit.snapshot(row), address)
    return row, secret


@require_POST
@for_managers
def withdraw(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """An invitation's link opens nothing any more."""
    row = get_object_or_404(Invitation.objects.editable_by(person(request)).open(), pk=pk)
    with transaction.atomic():
        Invitation.objects.filter(pk=row.pk).update(revoked_at=timezone.now())
        audit.record(person(request), "revoke", row, None, {}, address_of(request))
    messages.success(request, f"The invitation for {row.note} was withdrawn.")
    return redirect("people")


@for_managers
def someone(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One person: role, groups, sessions. Managers look at all, change those below them, and never themselves."""
    manager, user = person(request), get_object_or_404(User, pk=pk, is_service=False)
    may_change = manager.may_keep(user) and manager != user
    initial = {"rank": user.rank, "groups": user.groups.all(), "is_active": user.is_active}
    form = PersonForm(request.POST or None, manager=manager, initial=initial) if may_change else None
    if request.method == "POST":
        if form is None:
            raise PermissionDenied("You may look at this account and not change it.")
        if form.is_valid():
            change(user, form.cleaned_data, manager, address_of(request))
            messages.success(request, f"{user} was changed.")
            return redirect("someone", pk=user.pk)
    sessions = UserSession.objects.purge_and_list(user) if may_change else []
    context = {
        "who": user,
        "form": form,
        "sessions": [{"row": row, "what": second_factor.browser_name(row.user_agent)} for row in sessions],
        "has_second_factor": second_factor.has_one(user),
        "tokens": AccessToken.objects.filter(owner=user, session=False, revoked_at=None).count(),
    }
    return show(request, "people/someone.html", context, section="people")


def change(user: User, wanted: dict[str, Any], manager: User, address: str | None) -> None:
    """Give role and groups, open or close the account; whoever is shut out is out at once."""
    before = audit.snapshot(user) | {"groups": sorted(user.groups.values_list("name", flat=True))}
    with transaction.atomic():
        user.give_rank(wanted["rank"])
        user.is_active = wanted["is_active"]
        if "groups" in wanted:
            user.groups.set(wanted["groups"])
        user.save()  # after the groups: its note in the change log has workers read both
        after = audit.snapshot(user) | {"groups": sorted(user.groups.values_list("name", flat=True))}
        audit.record(manager, "change", user, before, after, address)
        if not user.is_active:
            second_factor.end_sessions(UserSession.objects.filter(user=user), manager, address)


@require_POST
@for_managers
def end_sessions(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Sign somebody out everywhere."""
    user = kept_by(request, pk)
    second_factor.end_sessions(UserSession.objects.filter(user=user), person(request), address_of(request))
    messages.success(request, f"{user} was signed out everywhere.")
    return redirect("someone", pk=user.pk)


@require_POST
@for_managers
def reset_second_factor(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """For somebody who lost theirs: the password alone signs them in, until they set up a new one."""
    user = kept_by(request, pk)
    count = second_factor.reset(user, person(request), address_of(request))
    messages.success(request, f"{user} has no second factor now." if count else f"{user} had none.")
    return redirect("someone", pk=user.pk)


def kept_by(request: HttpRequest, pk: uuid.UUID) -> User:
    """The account, when this manager may change it. Raises Http404, PermissionDenied."""
    user = get_object_or_404(User, pk=pk, is_service=False)
    if not person(request).may_keep(user):
        raise PermissionDenied("You may look at this account and not change it.")
    return user
