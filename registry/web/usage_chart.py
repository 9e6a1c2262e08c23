"""A usage report in the shape that static/hub/js/chart.js draws. Numbers only; no rows are read here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

from django.utils.translation import gettext as _

from registry.usage.queries import Report, SummaryRow

DRAWN = 6  # groups with a colour of their own; the rest is one more
UNITS: Final = {"cost": "usd", "latency": "ms", "first_token": "ms"}
VALUES: Final[dict[str, Callable[[SummaryRow], Any]]] = {
    "cost": lambda row: row.cost,
    "calls": lambda row: row.calls,
    "tokens": lambda row: row.total_tokens,
    "errors": lambda row: row.errors,
    "latency": lambda row: row.mean_latency_ms,
    "first_token": lambda row: row.mean_first_token_ms,
}


def build_chart(report: Report, measure: str, moments: list[dt.datetime], names: dict[Any, str]) -> dict[str, Any]:
    """`moments` are all hours or days of the period; `names` what people read for a group. Sums are stacked by group,
    means are lines of all calls and of the first groups."""
    value = VALUES[measure]
    times = {row.starts_at: row for row in report.times if row.starts_at}
    is_mean = measure in ("latency", "first_token")
    shown = most(report.groups, measure)
    rest = len(report.groups) > len(shown)
    series = [
        _series(names[row.label, row.key], report.cells.get((row.label, row.key), {}), moments, value) for row in shown
    ]
    if rest and not is_mean:
        drawn = [report.cells.get((row.label, row.key), {}) for row in shown]
        series.append(_others(times, drawn, moments, value))
    if is_mean:
        series = [_series(_("all calls"), times, moments, value), *series[:3]]
    return {
        "times": [int(moment.timestamp()) for moment in moments],
        "unit": UNITS.get(measure, "count"),
        "stacked": not is_mean,
        "stepped": False,
        "series": [
            {**one, "values": [None if number is None else float(number) for number in one["values"]]} for one in series
        ],
    }


def most(groups: list[SummaryRow], measure: str) -> list[SummaryRow]:
    """The groups that get a colour of their own: those with the most of what is drawn."""
    return sorted(groups, key=lambda row: -(VALUES[measure](row) or 0))[:DRAWN]


def moments_of(since: dt.datetime, until: dt.datetime, step: str) -> list[dt.datetime]:
    """Each hour, or each UTC day, that the period touches."""
    size = dt.timedelta(hours=1) if step == "hour" else dt.timedelta(days=1)
    at = since.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    at = at if step == "hour" else at.replace(hour=0)
    found = []
    while at < until:
        found.append(at)
        at += size
    return found


def _series(
    label: str,
    cells: dict[dt.datetime, SummaryRow],
    moments: list[dt.datetime],
    value: Callable[[SummaryRow], Any],
) -> dict[str, Any]:
    return {"label": label, "values": [value(cells[at]) if at in cells else None for at in moments]}


def _others(
    times: dict[dt.datetime, SummaryRow],
    drawn: list[dict[dt.datetime, SummaryRow]],
    moments: list[dt.datetime],
    value: Callable[[SummaryRow], Any],
) -> dict[str, Any]:
    """What is left of all calls without the drawn ones; never below nothing, where a call counts for several tags."""
    values = [
        max(0, value(times[at]) - sum(value(one[at]) for one in drawn if at in one)) if at in times else None
        for at in moments
    ]
    return {"label": _("others"), "values": values}
