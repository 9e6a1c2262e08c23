"""What an administrator should look at on the first page. Reads rows only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db.models import Count, F
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from registry.models import Budget, Credential, LLMModel, UsageRecord, UsageState
from registry.usage.sums import FAILED

SOON = dt.timedelta(days=14)
RETIRES_SOON = dt.timedelta(days=60)
EACH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """One thing to look at. `grave` is what already hurts."""

    text: str
    url: str
    grave: bool = False


def matters(now: dt.datetime | None = None) -> list[Matter]:
    """Grave ones first: a few of each kind, in plain words."""
    now = now or timezone.now()
    found = [*_keys(now), *_models(now), *_errors(now), *_budgets()]
    return sorted(found, key=lambda matter: not matter.grave)


def _keys(now: dt.datetime) -> list[Matter]:
    rows = Credential.objects.shared().filter(enabled=True, expires_at__lt=now + SOON).select_related("provider")
    found = []
    for row in rows.order_by("expires_at")[:EACH]:
        assert row.expires_at is not None
        ended = row.expires_at <= now
        words = (
            _("The shared key of %(provider)s ended on %(day)s.")
            if ended
            else _("The shared key of %(provider)s ends on %(day)s.")
        )
        text = words % {"provider": row.provider, "day": f"{row.expires_at:%Y-%m-%d}"}
        found.append(Matter(text=text, url=reverse("admin:registry_credential_change", args=[row.pk]), grave=ended))
    refused = Credential.objects.shared().filter(enabled=True, state="rejected").select_related("provider")
    for row in refused[:EACH]:
        text = _("%(provider)s refuses the shared key.") % {"provider": row.provider}
        found.append(Matter(text=text, url=reverse("admin:registry_credential_change", args=[row.pk]), grave=True))
    return found


def _models(now: dt.datetime) -> list[Matter]:
    live = LLMModel.objects.shared().filter(enabled=True, provider__enabled=True)
    gone = live.filter(vanished_at__isnull=False).count()
    retiring = live.filter(retires_on__lte=(now + RETIRES_SOON).date()).order_by("retires_on")
    url, found = reverse("admin:retirements"), []
    if gone:
        words = ngettext("%(count)s model is no longer listed by its provider.",
                         "%(count)s models are no longer listed by their providers.", gone)  # fmt: skip
        found.append(Matter(text=words % {"count": gone}, url=url, grave=True))
    for row in retiring[:EACH]:
        text = _("%(model)s retires on %(day)s.") % {"model": row, "day": row.retires_on}
        found.append(Matter(text=text, url=url, grave=row.retires_on <= now.date()))
    return found


def _errors(now: dt.datetime) -> list[Matter]:
    """The kinds of errors of the last day, the most frequent first: of the latest calls, so that it stays quick."""
    day = UsageRecord.objects.filter(created_at__gte=now - dt.timedelta(days=1)).exclude(state=UsageState.RUNNING)
    latest = day.order_by("-created_at").values("pk")[:2000]
    failed = UsageRecord.objects.filter(pk__in=latest, state__in=FAILED).values("error_code", "provider_slug")
    found = []
    for row in failed.annotate(count=Count("pk")).order_by("-count")[:EACH]:
        words = ngettext("%(count)s call failed since yesterday at %(provider)s: %(code)s.",
                         "%(count)s calls failed since yesterday at %(provider)s: %(code)s.", row["count"])  # fmt: skip
        named = {"count": row["count"], "provider": row["provider_slug"] or "?", "code": row["error_code"] or "?"}
        found.append(
            Matter(text=words % named, url=reverse("usage") + "?period=24h&who=all&by=provider&measure=errors")
        )
    return found


def _budgets() -> list[Matter]:
    rows = Budget.objects.filter(enabled=True, amount__gt=0, spent__gte=F("amount") * 9 / 10)
    found = []
    for row in rows.select_related("user", "group", "token", "model")[:EACH]:
        if row.spent_now * 10 >= row.amount * 9:
            text = _("Nine tenths are spent: %(budget)s.") % {"budget": row}
            found.append(Matter(text=text, url=reverse("admin:registry_budget_change", args=[row.pk])))
    return found
