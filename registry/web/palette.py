"""Ctrl+K: finds pages, models, conversations, keys and tokens by name, of what the person may see. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from registry.models import AccessToken, Conversation, Credential, User
from registry.web.choices import usable_models
from registry.web.model_search import with_text
from registry.web.page import PAGES, person, show, signed_in

EACH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    title: str
    kind: str
    url: str


@require_GET
@signed_in
def find(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").replace("\x00", "").strip()[:100]
    user = person(request)
    found = [*_pages(user, text)]
    if text:
        found += [*_models(user, text), *_conversations(user, text), *_keys(user, text), *_tokens(user, text)]
    return show(request, "web/palette_results.html", {"found": found, "text": text})


def _pages(user: User, text: str) -> Iterator[Found]:
    pages = [(reverse(name), title) for name, title in PAGES]
    pages += [
        (reverse("home"), _("Home")),
        (reverse("key_add"), _("Add a key")),
        (reverse("compare_results"), _("Results of comparisons")),
        (reverse("model_choose"), _("Help me choose a model")),
        (reverse("usage") + "?period=30d&by=tag", _("Usage by tag, 30 days")),
        (reverse("account"), _("Account")),
    ]
    if user.is_superuser:
        pages += [
            (reverse("admin:index"), _("Administration")),
            (reverse("usage") + "?who=all&by=token", _("Everybody's usage by token")),
            (reverse("admin:health"), _("Health of providers")),
            (reverse("admin:discovery"), _("Discovery")),
            (reverse("admin:retirements"), _("Models that go away")),
            (reverse("admin:why"), _("Why this model")),
            (reverse("admin:registry_provider_changelist"), _("Administration: providers")),
            (reverse("admin:registry_llmmodel_changelist"), _("Administration: models")),
            (reverse("admin:registry_user_changelist"), _("Administration: users")),
            (reverse("admin:registry_budget_changelist"), _("Administration: budgets")),
            (reverse("admin:registry_auditevent_changelist"), _("Audit trail")),
        ]
    for url, title in pages:
        if all(word in title.casefold() for word in text.casefold().split()):
            yield Found(title=title, kind=_("page"), url=url)


def _models(user: User, text: str) -> Iterator[Found]:
    for row in with_text(usable_models(user), text).order_by("name")[:EACH]:
        yield Found(title=row.name, kind=_("model"), url=reverse("model", args=[row.pk]))


def _conversations(user: User, text: str) -> Iterator[Found]:
    rows = Conversation.objects.visible_to(user).filter(archived=False, title__icontains=text)
    for row in rows.only("title")[:EACH]:
        yield Found(title=str(row), kind=_("conversation"), url=f"{reverse('playground')}?conversation={row.pk}")


def _keys(user: User, text: str) -> Iterator[Found]:
    rows = Credential.objects.editable_by(user).select_related("provider")
    for row in rows.filter(Q(provider__name__icontains=text) | Q(label__icontains=text))[:EACH]:
        yield Found(title=f"{row.provider.name} · {row.label}", kind=_("key"), url=f"{reverse('keys')}#key-{row.pk}")


def _tokens(user: User, text: str) -> Iterator[Found]:
    for row in AccessToken.objects.filter(owner=user, session=False, name__icontains=text)[:EACH]:
        yield Found(title=row.name, kind=_("token"), url=f"{reverse('usage')}?token={row.pk}&period=30d")
