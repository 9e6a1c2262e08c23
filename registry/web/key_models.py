"""Which models a person's own key opens: looked up on request, shown, and taken over as models of their own."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from registry.discovery import personal
from registry.models import Credential
from registry.web.keys import my_keys
from registry.web.page import address_of, person, show, signed_in


def _own_key(request: HttpRequest, pk: uuid.UUID) -> Credential:
    found: Credential = get_object_or_404(my_keys(request).filter(owner=person(request)), pk=pk)
    return found


@require_POST
@signed_in
def look(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    credential = _own_key(request, pk)
    try:
        changes = personal.look(credential, person(request))
    except personal.LookError as error:
        messages.error(request, f"{credential.provider}: {error}")
        return redirect("keys")
    context = {
        "credential": credential,
        "changes": changes,
        "signed": personal.signed(changes, credential, person(request)),
    }
    return show(request, "web/key_models.html", context, section="keys")


@require_POST
@signed_in
def apply(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    credential = _own_key(request, pk)
    text, chosen = request.POST.get("signed", ""), request.POST.getlist("change")
    try:
        count = personal.apply(text, chosen, credential, person(request), address=address_of(request))
    except personal.LookError as error:
        messages.error(request, str(error))
        return redirect("keys")
    messages.success(request, f"{count} change{'' if count == 1 else 's'} made. The models are on the Models page.")
    return redirect("keys")
