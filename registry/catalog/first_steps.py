"""What is left of setting the hub up, for the administrators' first pages. Reads rows only."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from registry.models import AccessToken, LLMModel, Provider, UsageRecord, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`button` is what the link to `url` says."""

    name: str
    text: str
    hint: str
    button: str
    url: str
    done: bool


def first_steps() -> list[Step]:
    """The way from an empty hub to one that colleagues use; [] once all of it is done."""
    real = Provider.objects.shared().filter(enabled=True).exclude(adapter="stub")
    opened = real.filter(
        Q(auth_type="none") | Q(credentials__enabled=True, credentials__owner__isnull=True, credentials__state="ok")
    )
    found = [
        Step(
            name="provider",
            text=_("Add a provider with a key, and test it"),
            hint=_("Pick who answers. The key is kept encrypted and shown to nobody."),
            button=_("Pick a provider"),
            url=reverse("key_add") + "?start=1",
            done=opened.exists(),
        ),
        Step(
            name="models",
            text=_("Look which models it lists"),
            hint=_("What the provider lists is compared with what the hub knows; you take what you want."),
            button=_("Look"),
            url=reverse("admin:discovery"),
            done=LLMModel.objects.shared().filter(enabled=True, provider__in=real).exists(),
        ),
        Step(
            name="ask",
            text=_("Ask it something"),
            hint=_("The playground calls as your tools will: with limits, budgets and a line in the usage."),
            button=_("Open the playground"),
            url=reverse("playground"),
            done=UsageRecord.objects.exists(),
        ),
        Step(
            name="default",
            text=_("Choose the model that answers when nothing is named"),
            hint=_("A request that names no model, tier or preset goes to it."),
            button=_("Choose"),
            url=reverse("admin:registry_llmmodel_changelist") + "?enabled__exact=1",
            done=LLMModel.objects.filter(is_default=True).exclude(provider__adapter="stub").exists(),
        ),
        Step(
            name="token",
            text=_("Make a token for a program"),
            hint=_("With it any OpenAI or Anthropic client calls this hub."),
            button=_("Make a token"),
            url=reverse("tokens"),
            done=AccessToken.objects.filter(session=False).exists(),
        ),
        Step(
            name="colleague",
            text=_("Let a colleague in"),
            hint=_("An invitation is a link that works once."),
            button=_("Invite"),
            url=reverse("people"),
            done=User.objects.filter(is_active=True)[:2].count() > 1,
        ),
    ]
    return [] if all(step.done for step in found) else found
