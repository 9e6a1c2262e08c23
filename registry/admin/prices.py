"""Prices against the bundled list: the plan as a page, then what is chosen of it. Decides nothing about prices."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from registry.access import audit
from registry.admin.base import admins_only
from registry.models import LLMModel
from registry.usage.price_list import PACKAGE, list_version
from registry.usage.price_update import PriceChange, apply_prices, plan_prices


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A change as the page shows it. `key` names what was seen: another plan for the model has another key."""

    change: PriceChange
    key: str
    rates: list[tuple[str, str, str]]  # what differs: kind, before, after


@require_http_methods(["GET", "POST"])
@admins_only
def page(request: HttpRequest) -> HttpResponse:
    """GET shows what would change; POST writes what was chosen, as it was shown."""
    models = LLMModel.objects.shared().select_related("provider").prefetch_related("prices")
    changes = plan_prices(models.order_by("provider__slug", "model_id"))
    lines = [_line(change) for change in changes if change.kind != "unknown"]
    if request.method == "POST":
        return _apply(request, lines)
    counts = Counter(change.kind for change in changes)
    context = {
        **admin.site.each_context(request),
        "title": _("Prices"),
        "lines": [line for line in lines if line.change.writes],
        "kept": [line for line in lines if not line.change.writes],
        "unknown": counts["unknown"],
        "version": f"{PACKAGE} {list_version()}",
    }
    return TemplateResponse(request, "admin/prices.html", context)


def _apply(request: HttpRequest, lines: list[Line]) -> HttpResponse:
    chosen = set(request.POST.getlist("change"))
    wanted = [line.change for line in lines if line.key in chosen and line.change.writes]
    try:
        with transaction.atomic():
            written = apply_prices(wanted)
            for change in wanted:
                before, after = _plain(change.before), _plain(change.after)
                audit.record(request.user, "price", change.model, before, after, request.META.get("REMOTE_ADDR"))
    except ValidationError as error:
        messages.error(request, _("Nothing was written: %(why)s") % {"why": "; ".join(error.messages)})
        return redirect("admin:prices")
    words = ngettext("%(count)s price was written.", "%(count)s prices were written.", written)
    messages.success(request, words % {"count": written})
    if missed := len(chosen) - len(wanted):
        words = ngettext("%(count)s had changed in the meantime and is shown anew.",
                         "%(count)s had changed in the meantime and are shown anew.", missed)  # fmt: skip
        messages.warning(request, words % {"count": missed})
    return redirect("admin:prices")


def _line(change: PriceChange) -> Line:
    before, after = _plain(change.before), _plain(change.after)
    seen = [str(change.model.pk), change.kind, before, after]
    if change.kind == "coming":
        seen.append(str(change.effective_from))
    rates = [
        (_worded(name), _readable(name, before), _readable(name, after))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    key = hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:24]
    return Line(change=change, key=key, rates=rates)


def _worded(rate: str) -> str:
    return rate.removesuffix("_per_1m").replace("_", " ")


def _readable(name: str, plain: dict[str, str]) -> str:
    """A rate as it is, tiers in words: "above 272000: input 20, output 75"."""
    value = plain.get(name, "")
    if name != "tiers" or not value:
        return value
    tiers = [(tier.pop("above_input_tokens"), tier) for tier in json.loads(value)]
    return "; ".join(
        _("above %(tokens)s: %(rates)s")
        % {"tokens": above, "rates": ", ".join(f"{_worded(kind)} {rate}" for kind, rate in sorted(tier.items()))}
        for above, tier in tiers
    )


def _plain(values: Any) -> dict[str, str]:
    return {
        name: f"{value.normalize():f}" if isinstance(value, Decimal) else json.dumps(value, sort_keys=True)
        for name, value in values.items()
    }
