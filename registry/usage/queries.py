"""Questions about usage that pages and the API ask. Reads sums only, whole days by the day and everybody's
by the slice, so that a million calls stay quick."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple, get_args

from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import TruncDay
from django.utils import timezone

from registry.models import UsageDay, UsageRollup, UsageSlice
from registry.models.base import AnyUser
from registry.usage.sums import SUMS

GroupBy = Literal["model", "provider", "user", "token", "tag", "credential_scope", "day", "hour"]
GROUPINGS: tuple[str, ...] = get_args(GroupBy)
DAY = dt.timedelta(days=1)

# Grouping: the columns that make a group, the last of which is what people read.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "model": ("model_key", "model_name"),
    "provider": ("provider_slug",),
    "user": ("user_key", "username"),
    "token": ("token_key", "token_name"),
    "tag": ("tags",),
    "credential_scope": ("credential_scope",),
    "day": (),
    "hour": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrow:
    """What sums are about. Keys are of rows that may be gone; `tag` is one of a call's tags."""

    model: uuid.UUID | None = None
    provider: str = ""
    user: uuid.UUID | None = None
    token: uuid.UUID | None = None
    tag: str = ""

    def apply(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {
            "model_key": self.model,
            "provider_slug": self.provider,
            "user_key": self.user,
            "token_key": self.token,
            "tags__contains": f",{self.tag}," if self.tag else None,
        }
        return rows.filter(**{name: value for name, value in wanted.items() if value})


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One period: its sums, the same by group (dearest first) and by time (in order), and each group over time."""

    total: SummaryRow
    groups: list[SummaryRow]
    times: list[SummaryRow]
    cells: dict[tuple[str, uuid.UUID | None], dict[dt.datetime, SummaryRow]] = field(default_factory=dict)


def summary(
    user: AnyUser,
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    group_by: GroupBy = "model",
    time_zone: dt.tzinfo = dt.UTC,
    narrow: Narrow | None = None,
) -> list[SummaryRow]:
    """Sums of the settled calls that `user` may see, by group: dearest first, days and hours in their order.

    `since` and `until` are taken to the hour that holds them, `until` not included; a day begins at midnight in
    `time_zone`. A call with several tags counts for each of them. Raises ValueError for an unknown grouping.
    """
    if group_by not in GROUPINGS:
        raise ValueError(f"group_by takes one of {', '.join(GROUPINGS)}")
    by_hour = group_by == "hour" or (group_by == "day" and str(time_zone) != "UTC")
    found = _Sums()
    for piece in _pieces(user, since, until, narrow, group_by, hours_only=by_hour):
        rows, columns = piece.rows, piece.columns
        if group_by == "day" and piece.holds_hours:  # a day's row is cut already; SQLite cuts in Python, row by row
            rows, columns = rows.annotate(on=TruncDay(piece.at, tzinfo=time_zone)), ("on",)
        for values, sums in _summed(rows, columns or (piece.at,)):
            for key in _keys(values, group_by):
                found.add(key, sums)
    if group_by in ("day", "hour"):
        return sorted(found.rows(), key=lambda row: row.label)
    return sorted(found.rows(), key=_dearest_first)


def totals(
    user: AnyUser,
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    narrow: Narrow | None = None,
    model: uuid.UUID | None = None,
) -> SummaryRow:
    """The one row over everything that `user` may see."""
    found = _Sums()
    for piece in _pieces(user, since, until, narrow or Narrow(model=model), "day"):
        found.add(("",), [value or 0 for value in piece.rows.aggregate(**_SUMS).values()])
    return next(found.rows(), SummaryRow(label=""))


def report(
    user: AnyUser,
    *,
    since: dt.datetime,
    until: dt.datetime,
    group_by: GroupBy = "model",
    step: Literal["hour", "day"] = "day",
    narrow: Narrow | None = None,
    choose: Callable[[list[SummaryRow]], list[SummaryRow]] | None = None,
) -> Report:
    """All that a page shows of a period. Days are UTC's. `choose` picks of all groups those wanted over time."""
    groups = summary(user, since=since, until=until, group_by=group_by, narrow=narrow)
    times, total = _Sums(), _Sums()
    cells: dict[tuple[str, uuid.UUID | None], _Sums] = {}
    for piece in _pieces(user, since, until, narrow, step, hours_only=step == "hour"):
        for (on,), sums in _summed(piece.rows, (piece.at,)):
            total.add(("",), sums)
            times.add((on if step == "hour" else _midnight(on),), sums)
    chosen = choose(groups) if choose else None
    for piece in _pieces(user, since, until, narrow, group_by, hours_only=step == "hour"):
        rows = piece.rows if chosen is None else piece.rows.filter(_one_of(chosen, piece.columns))
        for (on, *values), sums in _summed(rows, (piece.at, *piece.columns)):
            moment = on if step == "hour" else _midnight(on)
            for key in _keys(tuple(values), group_by):
                cells.setdefault((key[-1], key[0] if len(key) == 2 else None), _Sums()).add((moment,), sums)
    return Report(
        total=next(total.rows(), SummaryRow(label="")),
        groups=groups,
        times=sorted(times.rows(), key=lambda row: row.label),
        cells={key: {row.starts_at: row for row in sums.rows() if row.starts_at} for key, sums in cells.items()},
    )


def _one_of(groups: list[SummaryRow], columns: tuple[str, ...]) -> Q:
    """Rows of these groups, and maybe some more: whose keys are gone, or whose tags are several."""
    if columns == ("tags",):
        return Q()
    if len(columns) == 1:
        return Q(**{f"{columns[0]}__in": [row.label for row in groups]})
    known = Q(**{f"{columns[0]}__in": [row.key for row in groups if row.key]})
    return known | Q(**{f"{columns[0]}__isnull": True}) if any(row.key is None for row in groups) else known


_SUMS = {f"sum_{name}": Sum(name) for name in SUMS}


def _dearest_first(row: SummaryRow) -> tuple[Any, ...]:
    return -row.cost, -row.calls, row.label, str(row.key)


class _Piece(NamedTuple):
    """Rows of sums that cover a part of the period once, with the columns of their time and of their group."""

    rows: QuerySet[Any]
    at: str
    columns: tuple[str, ...]
    holds_hours: bool


def _pieces(
    user: AnyUser,
    since: dt.datetime | None,
    until: dt.datetime | None,
    narrow: Narrow | None,
    group_by: str,
    *,
    hours_only: bool = False,
) -> Iterator[_Piece]:
    """The period as pieces that cover it once: days in its middle, hours at its ends."""
    start = since.replace(minute=0, second=0, microsecond=0) if since else None
    first = _midnight(start + DAY - dt.timedelta(microseconds=1)) if start else None
    last = _midnight(until if until is not None else timezone.now() + DAY)
    days, hours = _rows_for(user, narrow or Narrow(), group_by)
    if hours_only or (first is not None and first >= last):
        yield _between(hours, start, until)
        return
    yield _between(days, first, until and last)
    if start is not None and start != first:
        yield _between(hours, start, first)
    if until is not None and until != last:
        yield _between(hours, last, until)


def _rows_for(user: AnyUser, narrow: Narrow, group_by: str) -> tuple[_Piece, _Piece]:
    """Days and hours that answer the question, of the smallest table that has them."""
    columns = _COLUMNS[group_by]
    days = _Piece(narrow.apply(UsageDay.objects.visible_to(user)), "day", columns, False)
    hours = _Piece(narrow.apply(UsageRollup.objects.visible_to(user)), "hour", columns, True)
    if not (user.is_active and user.is_authenticated and user.is_manager):
        return days, hours
    slices = UsageSlice.objects.visible_to(user)
    if narrow != Narrow():
        if not columns and narrow == Narrow(tag=narrow.tag):  # the one narrowing that no index of the days serves
            return _Piece(slices.filter(kind="tag", label=narrow.tag), "at", (), False), hours
        return days, hours
    if not columns:
        return (
            _Piece(slices.filter(kind="day"), "at", (), False),
            _Piece(slices.filter(kind="hour"), "at", (), True),
        )
    named = ("key", "label") if len(columns) == 2 else ("label",)
    return _Piece(slices.filter(kind=group_by), "at", named, False), hours


def _between(piece: _Piece, since: dt.datetime | None, until: dt.datetime | None) -> _Piece:
    rows = piece.rows
    if since is not None:
        rows = rows.filter(**{f"{piece.at}__gte": since})
    return piece._replace(rows=rows if until is None else rows.filter(**{f"{piece.at}__lt": until}))


def _midnight(when: dt.datetime) -> dt.datetime:
    return when.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _summed(rows: QuerySet[Any], columns: tuple[str, ...]) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """The groups by `columns`, each with its sums in the order of SUMS."""
    found = rows.order_by().values(*columns).annotate(**_SUMS).values_list(*columns, *_SUMS)
    size = len(columns)
    return ((row[:size], row[size:]) for row in found)


def _keys(values: tuple[Any, ...], group_by: str) -> list[tuple[Any, ...]]:
    """The groups that a row counts for: one, but for tags, of which a call may have several."""
    if group_by == "tag":
        return [(tag,) for tag in values[0].strip(",").split(",")]
    return [values]


class _Sums:
    """Sums by key, added up from several readings."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[Any, ...], list[Any]] = {}

    def add(self, key: tuple[Any, ...], sums: Sequence[Any]) -> None:
        """`sums` in the order of SUMS."""
        total = self._by_key.get(key)
        if total is None:
            self._by_key[key] = list(sums)
            return
        for at, value in enumerate(sums):
            total[at] += value

    def rows(self) -> Iterator[SummaryRow]:
        return (_row(key, dict(zip(SUMS, total, strict=True))) for key, total in self._by_key.items())


def _row(key: tuple[Any, ...], sums: dict[str, Any]) -> SummaryRow:
    latency_ms, first_token_ms = sums.pop("latency_ms"), sums.pop("first_token_ms")
    first_token_calls = sums.pop("first_token_calls")
    label = key[-1]
    starts_at = label if isinstance(label, dt.datetime) else None
    return SummaryRow(
        label=starts_at.isoformat() if starts_at else label,
        key=key[0] if len(key) == 2 else None,
        starts_at=starts_at,
        mean_latency_ms=latency_ms / sums["calls"] if sums["calls"] else None,
        mean_first_token_ms=first_token_ms / first_token_calls if first_token_calls else None,
        **{**sums, "cost": Decimal(sums["cost"])},
    )
