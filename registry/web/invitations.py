"""Coming in by invitation: the page behind the link, and the one that waits while somebody signs on elsewhere."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from registry.access import audit
from registry.models import Invitation, User
from registry.web.accounts import SetupForm
from registry.web.page import address_of, show
from registry.web.sign_in import sign_in

_WAITING = "invitation"


class TooLate(Exception):
    """Somebody else used the invitation a moment before."""


@never_cache
@sensitive_post_parameters()
def accept(request: HttpRequest, secret: str) -> HttpResponse:
    """Make one's account by the link. Looking at the page does not use the link up."""
    if request.user.is_authenticated:
        messages.warning(request, "You are signed in already. Sign out to use an invitation for somebody else.")
        return redirect("home")
    invitation = Invitation.find(secret)
    if invitation is None:
        return show(request, "accounts/invitation.html", status=404)
    request.session[_WAITING] = secret  # for who signs on at the issuer
    form = SetupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                user = form.save()
                redeem_for(request, invitation, user)
                audit.record(None, "create", user, None, audit.snapshot(user), address_of(request))
        except TooLate:
            return show(request, "accounts/invitation.html", status=404)
        messages.success(request, f"Welcome, {user}.")
        return sign_in(request, user)
    sign_on = settings.LLMHUB_OIDC_NAME if settings.SOCIALACCOUNT_PROVIDERS else ""
    return show(request, "accounts/invitation.html", {"form": form, "invitation": invitation, "sign_on": sign_on})


def waiting(request: HttpRequest) -> Invitation | None:
    """The invitation whose link this browser opened, while it is good."""
    secret: Any = request.session.get(_WAITING)
    return Invitation.find(secret) if isinstance(secret, str) else None


def redeem_for(request: HttpRequest, invitation: Invitation, user: User) -> None:
    """Give the invitation's rank and groups. Raises TooLate; call it in the transaction that makes the account."""
    if not invitation.use(user):
        raise TooLate
    request.session.pop(_WAITING, None)
    audit.record(user, "accept", invitation, None, audit.snapshot(invitation), address_of(request))
