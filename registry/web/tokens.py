"""A person's access tokens: make one, see it once with snippets to paste, revoke it."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from registry.access import audit
from registry.models import SCOPES, AccessToken, User
from registry.models.access_token import default_scopes
from registry.web.choices import usable_models
from registry.web.page import address_of, api_base_url, person, show, signed_in
from registry.web.snippets import build_snippets

SCOPE_LABELS = {
    "chat": "call models",
    "models": "list models",
    "usage": "read my usage",
    "manage": "manage my keys, models and tokens",
}
LIFETIMES = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("never", "never"))
SHOWN_REVOKED = 10
GRACE = timedelta(days=1)  # for whoever still has the old secret


class TokenForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="Where it is used, such as “laptop” or “billing job”.")
    scopes = forms.MultipleChoiceField(
        label="May",
        choices=[(scope, SCOPE_LABELS.get(scope, scope)) for scope in SCOPES],
        initial=default_scopes,
        widget=forms.CheckboxSelectMultiple,
    )
    expires = forms.ChoiceField(label="Ends after", choices=LIFETIMES, initial="90")
    allowed_models = forms.CharField(
        label="Only these models",
        required=False,
        max_length=8000,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="One a line. Empty: every model you may use.",
    )
    requests_per_minute = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)
    tokens_per_minute = forms.IntegerField(required=False, min_value=1, max_value=1_000_000_000)
    concurrency = forms.IntegerField(label="Calls at once", required=False, min_value=1, max_value=10_000)

    def narrow_to(self, scopes: frozenset[str]) -> None:
        """Offer what the person may do, and no more."""
        field = self.fields["scopes"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(scope, SCOPE_LABELS.get(scope, scope)) for scope in SCOPES if scope in scopes]
        field.initial = [scope for scope in default_scopes() if scope in scopes]

    def mint(self, owner: User) -> tuple[AccessToken, str]:
        """Make the token; answers the row and the plaintext, which exists nowhere else."""
        data = self.cleaned_data
        days = data["expires"]
        names = [line.strip() for line in data["allowed_models"].splitlines() if line.strip()]
        return AccessToken.mint(
            owner=owner,
            name=data["name"],
            scopes=data["scopes"],
            allowed_models=list(dict.fromkeys(names)),
            expires_at=timezone.now() + timedelta(days=int(days)) if days != "never" else None,
            requests_per_minute=data["requests_per_minute"],
            tokens_per_minute=data["tokens_per_minute"],
            concurrency=data["concurrency"],
        )


@signed_in
def tokens(request: HttpRequest) -> HttpResponse:
    """The list, and the form that makes one. The plaintext is in the answer to the form and in no other."""
    form = TokenForm(request.POST or None)
    form.narrow_to(person(request).scopes)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                token, plaintext = form.mint(person(request))
                audit.record(person(request), "create", token, None, audit.snapshot(token), address_of(request))
        except ValidationError as error:
            form.add_error(None, error)
        else:
            return _shown_once(request, token, plaintext)
    rows = AccessToken.objects.filter(owner=person(request), session=False)
    live = [row for row in rows if row.is_live]
    ended = [row for row in rows if not row.is_live][:SHOWN_REVOKED]
    return show(request, "web/tokens.html", {"form": form, "live": live, "ended": ended}, section="tokens")


def _shown_once(request: HttpRequest, token: AccessToken, plaintext: str) -> HttpResponse:
    model = usable_models(person(request)).values_list("name", flat=True).first() or "MODEL"
    snippets = build_snippets(api_base_url(request), plaintext, model)
    context = {"made": token, "plaintext": plaintext, "snippets": snippets}
    return show(request, "web/token_made.html", context, section="tokens")


@require_POST
@signed_in
def rotate(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Give a token a new secret, shown in this answer alone; the one before opens for GRACE longer."""
    token = get_object_or_404(AccessToken.objects.filter(owner=person(request), session=False), pk=pk)
    before = audit.snapshot(token)
    try:
        with transaction.atomic():
            plaintext = token.rotate(GRACE)
            audit.record(person(request), "rotate", token, before, audit.snapshot(token), address_of(request))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("tokens")
    messages.success(request, f"{token.name} has a new secret. The one before works for one more day.")
    return _shown_once(request, token, plaintext)


@require_POST
@signed_in
def revoke(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    token = get_object_or_404(AccessToken.objects.filter(owner=person(request), session=False), pk=pk)
    before = audit.snapshot(token)
    with transaction.atomic():
        token.revoke()
        audit.record(person(request), "revoke", token, before, audit.snapshot(token), address_of(request))
    messages.success(request, f"{token.name} was revoked. It stops working everywhere within two seconds.")
    return redirect("tokens")
