"""Everybody's sums by one thing alone, added up of the sums by all things. Reads hours and days, no calls."""

from __future__ import annotations

import datetime as dt
import operator
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.db.models import QuerySet, Sum

from registry.models import UsageSlice
from registry.usage.inserts import add_up, blank
from registry.usage.sums import SUMS, Dimensions, add_to, digest_of

Totals = Mapping[Dimensions, dict[str, Any]]


class Slice(NamedTuple):
    """What one row is about; the columns of UsageSlice."""

    kind: str
    at: dt.datetime
    key: uuid.UUID | None = None
    label: str = ""


def add(hours: Totals, days: Totals) -> None:
    """Add the same calls, summed by hour and by day."""
    found: dict[Slice, dict[str, Any]] = {}
    for where, sums in hours.items():
        add_to(found, Slice("hour", where.at), sums)
    for where, sums in days.items():
        for one in _on_the_day(where):
            add_to(found, one, sums)
    _write(found)


def renew(hours: QuerySet[Any], days: Totals, *, since: dt.datetime | None, until: dt.datetime | None) -> None:
    """Make them anew from all hours and days of [since, until), whole days."""
    old = UsageSlice.objects.all()
    if since is not None:
        old = old.filter(at__gte=since)
    if until is not None:
        old = old.filter(at__lt=until)
    old.delete()
    add({}, days)
    sums = {f"sum_{name}": Sum(name) for name in SUMS}
    _write(
        {
            Slice("hour", row["hour"]): {name: row[f"sum_{name}"] for name in SUMS}
            for row in hours.order_by().values("hour").annotate(**sums)
        }
    )


def _on_the_day(where: Dimensions) -> Iterator[Slice]:
    yield Slice("day", where.at)
    yield Slice("model", where.at, where.model_key, where.model_name)
    yield Slice("provider", where.at, None, where.provider_slug)
    yield Slice("user", where.at, where.user_key, where.username)
    yield Slice("token", where.at, where.token_key, where.token_name)
    yield Slice("credential_scope", where.at, None, where.credential_scope)
    for tag in where.tags.strip(",").split(","):
        yield Slice("tag", where.at, None, tag)


def _write(found: Mapping[Slice, dict[str, Any]]) -> None:
    rows = [blank(UsageSlice, **one._asdict(), **sums, digest=digest_of(list(one))) for one, sums in found.items()]
    # In the order of the digest, as all sums are written: recorders wait for one another, and never in a ring.
    add_up(sorted(rows, key=operator.attrgetter("digest")), key="digest", sums=SUMS)
