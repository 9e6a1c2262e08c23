"""The first page: three steps to a first answer for who is new, a short overview for who is not."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from registry.models import Conversation, Credential, UsageRecord
from registry.web.choices import usable_models, with_payers
from registry.web.page import api_base_url, person, preferences_of, show, signed_in
from registry.web.snippets import build_snippets

LOOKED_AT = 50


@require_GET
@signed_in
def home(request: HttpRequest) -> HttpResponse:
    user, preferences = person(request), preferences_of(request)
    choices = with_payers(usable_models(user)[:LOOKED_AT], user, preferences)
    ready = next((choice for choice in choices if choice.model.pk == preferences.default_model_id), None)
    ready = ready or next((choice for choice in choices if choice.is_callable), None)
    name = ready.model.name if ready else "MODEL"
    recent = Conversation.objects.visible_to(user).filter(archived=False)
    recent = recent.select_related("llm_model").defer("params")[:5]
    context = {
        "ready": ready,
        "model_count": usable_models(user).count(),
        "has_key": Credential.objects.filter(owner=user).exists(),
        "has_called": UsageRecord.objects.filter(user=user).exists(),
        "recent": recent,
        "base_url": api_base_url(request),
        "snippets": build_snippets(api_base_url(request), "YOUR_TOKEN", name),
    }
    return show(request, "web/home.html", context)
