"""Hourly sums of settled calls. Adds up what it is given in the caller's transaction; decides nothing about calls."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connections, router, transaction

from registry.models import UsageRecord, UsageRollup, UsageState
from registry.models.usage import hour_of
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

    hour: dt.datetime
    user_key: Any
    username: str
    token_key: Any
    token_name: str
    model_key: Any
    model_name: str
    provider_slug: str
    credential_scope: str

    @classmethod
    def of(cls, row: UsageRecord) -> Dimensions:
        return cls(
            hour=hour_of(row.created_at.astimezone(dt.UTC)),
            user_key=row.user_id,
            username=row.username,
            token_key=row.token_id,
            token_name=row.token_name,
            model_key=row.model_id,
            model_name=row.model_name,
            provider_slug=row.provider_slug,
            credential_scope=row.credential_scope,
        )

    def as_fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def digest(self) -> str:
        """One text for all dimensions, null or not: unique where databases disagree about nulls."""
        values = [value.isoformat() if isinstance(value, dt.datetime) else value for value in self.as_fields().values()]
        text = json.dumps([None if value is None else str(value) for value in values])
        return hashlib.sha256(text.encode()).hexdigest()


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
    totals: dict[Dimensions, dict[str, Any]] = {}
    for row in rows:
        total = totals.setdefault(Dimensions.of(row), dict.fromkeys(SUMS, 0))
        for name, value in sums_of(row).items():
            total[name] += value
    sums = [blank(UsageRollup, **total, **found.as_fields(), digest=found.digest) for found, total in totals.items()]
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
            add(chunk)
            summed += len(chunk)
    return summed


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
