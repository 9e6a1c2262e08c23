"""Sums of settled calls by hour and by UTC day, added up in the caller's transaction. Decides nothing about calls."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Sum
from django.db.models.functions import TruncDay

from registry.models import UsageDay, UsageRecord, UsageRollup, UsageState
from registry.models.usage import hour_of
from registry.usage import slices
from registry.usage.inserts import add_up, blank
from registry.usage.sums import COLUMNS, SUMS, Dimensions, add_to, sums_of

REBUILD_CHUNK = 2000
ADVISORY_LOCK = 0x11A_0002


def add(rows: Iterable[UsageRecord]) -> None:
    """Add settled calls to the sums. Call once for each, in the transaction that settles it."""
    _lock(shared=True)
    hours = _hours_of(rows)
    _add(UsageRollup, "hour", hours)
    days: dict[Dimensions, dict[str, Any]] = {}
    for found, total in hours.items():
        add_to(days, found.on_its_day(), total)
    _add(UsageDay, "day", days)
    slices.add(hours, days)  # last: its rows are those that all recorders share


def _hours_of(rows: Iterable[UsageRecord]) -> dict[Dimensions, dict[str, Any]]:
    totals: dict[Dimensions, dict[str, Any]] = {}
    for row in rows:
        add_to(totals, Dimensions.of(row), sums_of(row))
    return totals


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
    """Make the days' sums and the slices anew from the hours, for each day that [since, until) touches."""
    days, hours = UsageDay.objects.all(), UsageRollup.objects.all()
    first = last = None
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
    slices.renew(hours, totals, since=first, until=last)


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
