"""The test button of a key or a provider: asks the provider, and shows the outcome in place or as a message."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from registry.models import Provider
from registry.web.keys import my_keys
from registry.web.page import address_of, is_partial, person, show, signed_in
from registry.web.testing import Outcome, run_test


@require_POST
@signed_in
def test(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    credential = get_object_or_404(my_keys(request), pk=pk)
    outcome = run_test(person(request), credential.provider, credential, address_of(request))
    return _answer_test(request, outcome, credential.provider)


@require_POST
@signed_in
def test_provider(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    provider = get_object_or_404(Provider.objects.editable_by(person(request)), pk=pk)
    outcome = run_test(person(request), provider, None, address_of(request))
    return _answer_test(request, outcome, provider)


def _answer_test(request: HttpRequest, outcome: Outcome, provider: Provider) -> HttpResponse:
    if is_partial(request):
        return show(request, "web/test_result.html", {"outcome": outcome})
    say = messages.success if outcome.ok else messages.error
    say(request, f"{provider}: {outcome.text} {outcome.hint}".strip())
    return redirect("keys")
