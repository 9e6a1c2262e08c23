"""Moves what the journal says into the records, each call once. Reads no file; the recorder gives it decoded lines."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import DatabaseError, models
from django.db.models import Q
from django.utils import timezone

from registry.models import CostStatus, UsageAttempt, UsageRecord, UsageSource, UsageState
from registry.usage import rollup, spend
from registry.usage.page import TOKEN_FIELDS, Change, Page, Target, changes_of
from registry.usage.targets import giving_way

__all__ = ["Applied", "Books", "Change", "SettledHook", "changes_of"]

logger = logging.getLogger(__name__)

TOUCH_EVERY = dt.timedelta(minutes=1)
MAX_REMEMBERED = 20_000

SettledHook = Callable[[Sequence[UsageRecord]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a batch did: calls settled now, calls already settled before, calls that still run."""

    settled: int
    repeated: int
    running: frozenset[str]


class Books:
    """Writes batches of changes. A change that was written before changes nothing.

    `on_settled` is called inside the transaction that settles them, with rows that were not settled before: whatever
    must count every call exactly once (sums here, budgets elsewhere) hangs there.
    """

    def __init__(self, on_settled: Sequence[SettledHook] = ()) -> None:
        self.on_settled: tuple[SettledHook, ...] = (rollup.add, spend.add, *on_settled)
        self._touched: dict[Target, dt.datetime] = {}

    def apply(self, changes: Sequence[Change]) -> Applied:
        """Write the changes in one transaction. Raises what the database raises, and then nothing is written."""
        page = Page(changes)
        with giving_way():
            page.write()
            if page.settled:
                for hook in self.on_settled:
                    hook(page.settled)
        self._touch(page.used)
        return Applied(settled=len(page.settled), repeated=page.repeated, running=frozenset(page.running))

    def abandon(self, request_ids: Collection[str]) -> int:
        """Settle the calls whose worker died; answers how many still ran. What their closed tries cost is kept."""
        with giving_way():
            rows = list(
                UsageRecord.objects.select_for_update()
                .filter(request_id__in=request_ids, state=UsageState.RUNNING)
                .prefetch_related("tries")
                .order_by("request_id")
            )
            for row in rows:
                _abandon(row)
            if rows:
                UsageRecord.objects.bulk_update(rows, _ABANDON_FIELDS)
                UsageAttempt.objects.filter(record__in=rows, state=UsageState.RUNNING).update(
                    state=UsageState.ABANDONED
                )
                for hook in self.on_settled:
                    hook(rows)
        return len(rows)

    def abandon_stale(self, *, older_than: dt.timedelta, except_for: Collection[str]) -> int:
        """Settle calls whose journal is lost altogether: running for longer than any call may take."""
        stale = UsageRecord.objects.filter(state=UsageState.RUNNING, created_at__lt=timezone.now() - older_than)
        request_ids = [one for one in stale.values_list("request_id", flat=True)[:500] if one not in except_for]
        return self.abandon(request_ids) if request_ids else 0

    def _touch(self, used: Mapping[Target, dt.datetime]) -> None:
        """Note when keys, models and tokens were last used: each at most once a minute, and not worth a failure."""
        if len(self._touched) > MAX_REMEMBERED:
            self._touched.clear()
        stale: dict[type[models.Model], dict[uuid.UUID, dt.datetime]] = {}
        for (model, key), when in used.items():
            before = self._touched.get((model, key))
            if before is None or when >= before + TOUCH_EVERY:
                stale.setdefault(model, {})[key] = when
        try:
            for model, keys in stale.items():
                # One moment for all of a batch: they lie a fraction of a second apart, or are a backlog's.
                latest = max(keys.values())
                unknown_or_old = Q(last_used_at__isnull=True) | Q(last_used_at__lte=latest - TOUCH_EVERY)
                with giving_way():
                    model._default_manager.filter(unknown_or_old, pk__in=keys).update(last_used_at=latest)
                self._touched.update(((model, key), when) for key, when in keys.items())
        except DatabaseError as error:
            logger.info("last_used_at was not noted: %s", error)


_ABANDON_FIELDS = ("state", "settled_at", "usage_source", "cost", "cost_status", *TOKEN_FIELDS)


def _abandon(row: UsageRecord) -> None:
    """What a dead worker's call is known to have used is what its closed tries reported; the rest stays unknown."""
    row.state = UsageState.ABANDONED
    row.settled_at = timezone.now()
    tries = list(row.tries.all())
    for name in TOKEN_FIELDS:
        counts = [count for one in tries if (count := getattr(one, name)) is not None]
        setattr(row, name, sum(counts) if counts else None)
    costs = [one.cost for one in tries if one.cost is not None]
    row.cost = sum(costs, Decimal(0)) if costs else None
    row.cost_status = CostStatus.ESTIMATED if costs else CostStatus.UNPRICED
    row.usage_source = UsageSource.ESTIMATED if row.input_tokens is not None else UsageSource.NONE
