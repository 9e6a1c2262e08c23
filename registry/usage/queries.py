"""Questions about usage that pages and the API ask. Reads the hourly sums only, so that a million calls stay quick."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDay

from registry.models import UsageRollup
from registry.models.base import AnyUser
from registry.usage.rollup import SUMS

GroupBy = Literal["model", "provider", "user", "token", "credential_scope", "day", "hour"]
GROUPINGS: tuple[str, ...] = get_args(GroupBy)

# Grouping: the columns that make a group, the last of which is what people read.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "model": ("model_key", "model_name"),
    "provider": ("provider_slug",),
    "user": ("user_key", "username"),
    "token": ("token_key", "token_name"),
    "credential_scope": ("credential_scope",),
    "hour": ("hour",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """Sums of one group. Means are None where no call counts toward them; `cost` is the sum of what is known, in USD,
    and `unpriced_calls` says how many calls are missing from it."""

    label: str  # ISO 8601 for days and hours
    key: uuid.UUID | None = None  # of the model, user or token
    starts_at: dt.datetime | None = None  # of days and hours
    calls: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = Decimal(0)
    unpriced_calls: int = 0
    mean_latency_ms: float | None = None
    mean_first_token_ms: float | None = None

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


def summary(
    user: AnyUser,
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    group_by: GroupBy = "model",
    time_zone: dt.tzinfo = dt.UTC,
) -> list[SummaryRow]:
    """Sums of the settled calls that `user` may see, by group: dearest first, days and hours in their order.

    `since` and `until` are taken to the hour that holds them, `until` not included; a day begins at midnight in
    `time_zone`. Raises ValueError for an unknown grouping.
    """
    if group_by not in GROUPINGS:
        raise ValueError(f"group_by takes one of {', '.join(GROUPINGS)}")
    rows = _between(user, since, until)
    if group_by == "day":
        rows = rows.annotate(day=TruncDay("hour", tzinfo=time_zone))
    columns = ("day",) if group_by == "day" else _COLUMNS[group_by]
    sums = {f"sum_{name}": Sum(name) for name in SUMS}
    found = [_row(columns, values) for values in rows.order_by().values(*columns).annotate(**sums)]
    if group_by in ("day", "hour"):
        return sorted(found, key=lambda row: row.label)
    return sorted(found, key=lambda row: (-row.cost, -row.calls, row.label, str(row.key)))


def totals(user: AnyUser, *, since: dt.datetime | None = None, until: dt.datetime | None = None) -> SummaryRow:
    """The one row over everything that `user` may see."""
    values = _between(user, since, until).aggregate(**{f"sum_{name}": Sum(name) for name in SUMS})
    return _row((), values)


def _between(user: AnyUser, since: dt.datetime | None, until: dt.datetime | None) -> QuerySet[UsageRollup]:
    rows = UsageRollup.objects.visible_to(user)
    if since is not None:
        rows = rows.filter(hour__gte=since.replace(minute=0, second=0, microsecond=0))
    if until is not None:
        rows = rows.filter(hour__lt=until)
    return rows


def _row(columns: tuple[str, ...], values: dict[str, Any]) -> SummaryRow:
    sums: dict[str, Any] = {name: values[f"sum_{name}"] or 0 for name in SUMS}
    latency_ms, first_token_ms = sums.pop("latency_ms"), sums.pop("first_token_ms")
    first_token_calls = sums.pop("first_token_calls")
    label = values[columns[-1]] if columns else ""
    starts_at = label if isinstance(label, dt.datetime) else None
    return SummaryRow(
        label=starts_at.isoformat() if starts_at else label,
        key=values[columns[0]] if len(columns) == 2 else None,
        starts_at=starts_at,
        mean_latency_ms=latency_ms / sums["calls"] if sums["calls"] else None,
        mean_first_token_ms=first_token_ms / first_token_calls if first_token_calls else None,
        **{**sums, "cost": Decimal(sums["cost"])},
    )
