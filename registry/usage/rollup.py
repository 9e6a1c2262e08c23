"""Sums of settled calls by hour and by UTC day, added up in the caller's transaction. Decides nothing about calls."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Sum
from django.db.models.functions import TruncDay

from registry.models import UsageDay, UsageRecord, UsageRollup, UsageState
from registry.models.usage import hour_of, tags_key
from registry.usage.inserts import add_up, blank

FAILED = frozenset(
    {UsageState.ERROR, UsageState.TIMEOUT, UsageState.TRUNCATED, UsageState.ABANDONED, UsageState.REJECTED}
)
# Calls that the client itself left are no errors.

SUMS = (
    "calls",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "reasoning_tokens",
    "cost",
    "unpriced_calls",
    "latency_ms",
    "first_token_ms",
    "first_token_calls",
)
REBUILD_CHUNK = 2000
ADVISORY_LOCK = 0x11A_0002


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What one row of sums is about."""

    at: dt.datetime  # the hour, or the day's midnight
    user_key: Any
    username: str
    token_key: Any
    token_name: str
    model_key: Any
    model_name: str
    provider_slug: str
    credential_scope: str
    tags: str

    @classmethod
    def of(cls, row: UsageRecord) -> Dimensions:
        return cls(
            at=hour_of(row.created_at.astimezone(dt.UTC)),
            user_key=row.user_id,
            username=row.username,
            token_key=row.token_id,
            token_name=row.token_name,
            model_key=row.model_id,
            model_name=row.model_name,
            provider_slug=row.provider_slug,
            credential_scope=row.credential_scope,
            tags=tags_key(row.tags),
        )

    def on_its_day(self) -> Dimensions:
        return replace(self, at=self.at.replace(hour=0))

    def as_fields(self) -> dict[str, Any]:
        """All but the time, by column."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "at"}

    @property
    def digest(self) -> str:
        """One text for the time and all dimensions, null or not: unique where databases disagree about nulls."""
        values = [self.at.isoformat(), *self.as_fields().values()]
        if not self.tags:
            values.pop()  # rows from before there were tags keep their digest
        text = json.dumps([None if value is None else str(value) for value in values])
        return hashlib.sha256(text.encode()).hexdigest()


COLUMNS = tuple(name for name in Dimensions.__slots__ if name != "at")


def sums_of(row: UsageRecord) -> dict[str, int | Decimal]:
    """What one settled call adds. A call is unpriced when it used something whose price is not known."""
    used = row.input_tokens is not None or row.output_tokens is not None
    return {
        "calls": 1,
        "errors": int(row.state in FAILED),
        "input_tokens": row.input_tokens or 0,
        "output_tokens": row.output_tokens or 0,
        "cache_read_tokens": row.cache_read_tokens or 0,
        "reasoning_tokens": row.reasoning_tokens or 0,
        "cost": row.cost or Decimal(0),
        "unpriced_calls": int(used and row.cost is None),
        "latency_ms": row.latency_ms or 0,
        "first_token_ms": row.first_token_ms or 0,
        "first_token_calls": int(row.first_token_ms is not None),
    }


def add(rows: Iterable[UsageRecord]) -> None:
    """Add settled calls to the sums. Call once for each, in the transaction that settles it."""
    _lock(shared=True)
    hours = _hours_of(rows)
    _add(UsageRollup, "hour", hours)
    days: dict[Dimensions, dict[str, Any]] = {}
    for found, total in hours.items():
        _add_to(days, found.on_its_day(), total)
    _add(UsageDay, "day", days)


def _hours_of(rows: Iterable[UsageRecord]) -> dict[Dimensions, dict[str, Any]]:
    totals: dict[Dimensions, dict[str, Any]] = {}
    for row in rows:
        _add_to(totals, Dimensions.of(row), sums_of(row))
    return totals


def _add_to(totals: dict[Dimensions, dict[str, Any]], where: Dimensions, sums: dict[str, Any]) -> None:
    total = totals.setdefault(where, dict.fromkeys(SUMS, 0))
    for name, value in sums.items():
        total[name] += value


def _add(table: type[UsageRollup | UsageDay], time: str, totals: dict[Dimensions, dict[str, Any]]) -> None:
    sums = [
        blank(table, **total, **found.as_fields(), **{time: found.at}, digest=found.digest)
        for found, total in totals.items()
    ]
    # In the order of the digest: two recorders that meet the same rows then wait for one another, and never in a ring.
    add_up(sorted(sums, key=operator.attrgetter("digest")), key="digest", sums=SUMS)


def rebuild(*, since: dt.datetime | None = None, until: dt.datetime | None = None) -> int:
    """Make the sums anew from the rows of whole hours in [since, until); answers how many calls were summed.

    Only for hours whose rows are all still there: what was purged would vanish from the sums too. One
    transaction, for which the recorders wait.
    """
    old, rows = UsageRollup.objects.all(), UsageRecord.objects.exclude(state=UsageState.RUNNING)
    if since is not None:
        old, rows = old.filter(hour__gte=hour_of(since)), rows.filter(created_at__gte=hour_of(since))
    if until is not None:
        old, rows = old.filter(hour__lt=hour_of(until)), rows.filter(created_at__lt=hour_of(until))
    summed = 0
    with transaction.atomic():
        _lock(shared=False)
        old.delete()
        for chunk in _chunks(rows.order_by("id").iterator(chunk_size=REBUILD_CHUNK)):
            _add(UsageRollup, "hour", _hours_of(chunk))
            summed += len(chunk)
        renew_days(since=since, until=until)
    return summed


def renew_days(*, since: dt.datetime | None = None, until: dt.datetime | None = None) -> None:
    """Make the days' sums anew from the hours, for each day that [since, until) touches."""
    days, hours = UsageDay.objects.all(), UsageRollup.objects.all()
    if since is not None:
        first = since.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        days, hours = days.filter(day__gte=first), hours.filter(hour__gte=first)
    if until is not None:
        last = until.astimezone(dt.UTC) + dt.timedelta(days=1, microseconds=-1)
        last = last.replace(hour=0, minute=0, second=0, microsecond=0)
        days, hours = days.filter(day__lt=last), hours.filter(hour__lt=last)
    days.delete()
    sums = {f"sum_{name}": Sum(name) for name in SUMS}
    found = hours.order_by().annotate(at=TruncDay("hour", tzinfo=dt.UTC)).values("at", *COLUMNS).annotate(**sums)
    totals = {
        Dimensions(at=row["at"], **{name: row[name] for name in COLUMNS}): {name: row[f"sum_{name}"] for name in SUMS}
        for row in found.iterator(chunk_size=REBUILD_CHUNK)
    }
    _add(UsageDay, "day", totals)


def _lock(*, shared: bool) -> None:
    """Additions exclude a rebuild and not one another. SQLite's one writer at a time does that by itself."""
    connection = connections[router.db_for_write(UsageRollup)]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_xact_lock{'_shared' if shared else ''}(%s)", [ADVISORY_LOCK])


def _chunks(rows: Iterator[UsageRecord]) -> Iterator[list[UsageRecord]]:
    chunk: list[UsageRecord] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == REBUILD_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
