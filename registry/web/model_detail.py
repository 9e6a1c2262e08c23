"""A model's page: what it can do and who says so, what it cost when, how fast it was, where it is used."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_GET

from registry.models import CAPABILITIES, Conversation, LLMModel, ModelPrice, PresetEntry, RouteEntry, User
from registry.usage.queries import SummaryRow, totals
from registry.web.choices import CAPABILITY_LABELS, usable_models, with_payers
from registry.web.page import api_base_url, person, preferences_of, show, signed_in
from registry.web.snippets import build_snippets

MEASURED_DAYS = 30
MAX_PRICES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One capability with who says so and since when."""

    label: str
    value: str  # yes, no, unknown
    source: str
    date: str


@require_GET
@signed_in
def model(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    user = person(request)
    row = get_object_or_404(usable_models(user), pk=pk)
    preferences = preferences_of(request)
    base_url = api_base_url(request)
    prices = list(row.prices.order_by("-effective_from")[:MAX_PRICES])
    measured = totals(user, since=timezone.now() - dt.timedelta(days=MEASURED_DAYS), model=row.pk)
    context = {
        "choice": with_payers([row], user, preferences)[0],
        "model": row,
        "is_default": preferences.default_model_id == row.pk,
        "evidence": evidence_of(row),
        "prices": prices,
        "price_chart": chart_of(prices),
        "measured": measured,
        "tokens_per_s": speed_of(measured),
        "days": MEASURED_DAYS,
        "uses": uses_of(row, user),
        "base_url": base_url,
        "snippets": build_snippets(base_url, "YOUR_TOKEN", row.name),
    }
    return show(request, "web/model.html", context, section="models")


def evidence_of(row: LLMModel) -> list[Evidence]:
    """All capabilities in their order; what nobody has said anything of is unknown."""
    found = []
    for name in CAPABILITIES:
        said = row.capabilities.get(name, {})
        source, date = str(said.get("source") or ""), str(said.get("date") or "")
        found.append(Evidence(label=CAPABILITY_LABELS[name], value=row.capability(name), source=source, date=date))
    return found


def chart_of(prices: list[ModelPrice]) -> dict[str, Any]:
    """Input and output prices as steps up to now, in the shape of static/hub/js/chart.js."""
    steps = sorted(prices, key=lambda price: price.effective_from)
    steps += steps[-1:]
    times = [int(price.effective_from.timestamp()) for price in steps[:-1]] + [int(timezone.now().timestamp())]
    kinds = (("Input", "input_per_1m"), ("Output", "output_per_1m"))
    series = [{"label": label, "values": [_number(getattr(price, name)) for price in steps]} for label, name in kinds]
    return {"times": times if steps else [], "unit": "usd", "stepped": True, "series": series}


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def speed_of(measured: SummaryRow) -> float | None:
    """Tokens a second over whole calls, waiting included; None where nothing was measured."""
    if not measured.mean_latency_ms or not measured.output_tokens:
        return None
    return measured.output_tokens / (measured.mean_latency_ms * measured.calls / 1000)


def uses_of(row: LLMModel, user: User) -> dict[str, Any]:
    """Where the model is named, as far as the person may see it."""
    presets = PresetEntry.objects.visible_to(user).filter(model=row, preset__enabled=True).select_related("preset")
    routes = RouteEntry.objects.visible_to(user).filter(model=row, route__enabled=True).select_related("route")
    return {
        "presets": presets.order_by("position", "preset__slug")[:20],
        "routes": routes.order_by("route__name")[:20],
        "conversations": Conversation.objects.visible_to(user).filter(llm_model=row).count(),
    }
