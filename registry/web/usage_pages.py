"""What a person's calls cost: totals of today and of thirty days, and the latest calls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from registry.models import UsageRecord, UsageRollup
from registry.web.page import person, show, signed_in

LATEST = 50
DAYS = 30


@require_GET
@signed_in
def usage(request: HttpRequest) -> HttpResponse:
    user = person(request)
    # One's own, for an administrator too: others' usage is the admin's page.
    latest = UsageRecord.objects.filter(user=user)[:LATEST]
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    context = {
        "latest": latest,
        "zone": timezone.get_current_timezone_name(),
        "periods": [
            ("Today", totals(user, midnight)),
            (f"{DAYS} days", totals(user, midnight - timedelta(days=DAYS - 1))),
        ],
    }
    return show(request, "web/usage.html", context, section="usage")


def totals(user: Any, since: Any) -> dict[str, Any]:
    """Sums of the hourly rows from `since` on: calls, errors, tokens, cost in USD, calls without a known price."""
    names = ("calls", "errors", "input_tokens", "output_tokens", "cost", "unpriced_calls")
    rows = UsageRollup.objects.filter(user_key=user.pk, hour__gte=since)
    sums = rows.aggregate(**{name: Sum(name) for name in names})
    return {name: value or 0 for name, value in sums.items()}
