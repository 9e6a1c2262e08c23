"""Everybody's sums by one thing alone say what the sums by all things say."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps

from adapters.types import Usage
from registry.models import UsageSlice
from registry.usage import rollup
from registry.usage.journal import Journal
from registry.usage.ledger import Cost
from registry.usage.queries import GROUPINGS, Narrow, report, summary, totals
from registry.usage.recorder import Counts
from tests.usage.conftest import a_call, a_settlement, a_try

pytestmark = pytest.mark.django_db(transaction=True)
FIRST = dt.datetime(2026, 3, 10, 12, 30, tzinfo=dt.UTC)


@pytest.fixture
def calls(alice: Any, bob: Any, journal: Journal, drain: Callable[[], Counts]) -> None:
    for number in range(24):
        user = (alice, bob)[number % 2]
        at = FIRST + dt.timedelta(hours=3 * number)
        tags = ((), ("docs",), ("docs", "night"))[number % 3]
        call = a_call(user_id=user.pk, username=user.username, started_at_ms=int(at.timestamp() * 1000), tags=tags)
        journal.open(call, a_try(model_name=f"model-{number % 4}", provider_slug=f"vendor-{number % 2}"))
        cost = Cost(total=Decimal(number) / 1000, status="exact") if number % 5 else Cost()
        state = "ok" if number % 7 else "error"
        journal.settle(call, a_settlement(state, cost=cost, usage=Usage(input_tokens=number, output_tokens=2)))
    drain()


def rows() -> set[tuple[Any, ...]]:
    names = ("kind", "at", "key", "label", "digest", "calls", "errors", "input_tokens", "cost", "unpriced_calls")
    return set(UsageSlice.objects.values_list(*names))


@pytest.mark.parametrize("group_by", GROUPINGS)
@pytest.mark.parametrize("hours", [None, 0, 7, 30])
def test_they_say_what_the_people_together_say(
    group_by: Any, hours: int | None, calls: None, admin: Any, alice: Any, bob: Any
) -> None:
    since = None if hours is None else FIRST + dt.timedelta(hours=hours)
    until = None if hours is None else since + dt.timedelta(hours=40)
    together: dict[str, list[Any]] = {}
    for person in (alice, bob):
        for row in summary(admin, group_by=group_by, since=since, until=until, narrow=Narrow(user=person.pk)):
            total = together.setdefault(row.label, [0, 0, Decimal(0), 0])
            for at, value in enumerate((row.calls, row.errors, row.cost, row.input_tokens)):
                total[at] += value
    of_all = summary(admin, group_by=group_by, since=since, until=until)
    assert {row.label: [row.calls, row.errors, row.cost, row.input_tokens] for row in of_all} == together
    assert together


def test_a_report_of_everybody_adds_up_over_time(calls: None, admin: Any) -> None:
    since, until = FIRST, FIRST + dt.timedelta(hours=50)
    for step in ("hour", "day"):
        found = report(admin, since=since, until=until, group_by="token", step=step)
        assert (
            found.total.calls == sum(row.calls for row in found.times) == totals(admin, since=since, until=until).calls
        )
        assert sum(row.calls for cell in found.cells.values() for row in cell.values()) == found.total.calls > 0


def test_a_rebuild_and_the_migration_make_the_same_rows(calls: None) -> None:
    before = rows()
    assert len(before) > 40
    UsageSlice.objects.update(calls=99)
    rollup.rebuild()
    assert rows() == before
    UsageSlice.objects.all().delete()
    importlib.import_module("registry.migrations.0012_usage_slices").cut_slices(apps, None)
    assert rows() == before
