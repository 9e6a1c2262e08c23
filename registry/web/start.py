"""The first administrator's way in: from an empty hub to a first answer, one step at a time. Changes nothing itself."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from registry.catalog.first_steps import first_steps
from registry.models import LLMModel
from registry.web.choices import usable_models
from registry.web.key_forms import addable
from registry.web.page import person, show, signed_in


@require_GET
@signed_in
def start(request: HttpRequest) -> HttpResponse:
    """The steps, done or to do; the first that is to do is open. Providers stand right on it."""
    user = person(request)
    if not user.is_superuser:
        raise Http404
    steps = first_steps()
    context = {
        "steps": steps,
        "current": next((step for step in steps if not step.done), None),
        "done_count": sum(step.done for step in steps),
        "templates": addable(user)[1] if steps and not steps[0].done else [],
        "stub": _keyless_stub(request),
    }
    return show(request, "web/start.html", context)


def _keyless_stub(request: HttpRequest) -> LLMModel | None:
    """The model that answers without any provider: to look around with."""
    found: LLMModel | None = usable_models(person(request)).filter(provider__adapter="stub").first()
    return found
