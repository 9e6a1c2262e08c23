"""What the summaries say, and to whom."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.types import Usage
from registry.models import UsageDay, UsageRollup
from registry.usage import rollup
from registry.usage.journal import Journal
from registry.usage.ledger import Cost
from registry.usage.queries import GROUPINGS, summary, totals
from registry.usage.recorder import Counts
from tests.usage.conftest import a_call, a_settlement, a_try

pytestmark = pytest.mark.django_db(transaction=True)
NOON = dt.datetime(2026, 3, 10, 12, 30, tzinfo=dt.UTC)


def write(journal: Journal, user, model: str, cost: str | None, *, at: dt.datetime = NOON, state: str = "ok") -> None:
    call = a_call(user_id=user.pk, username=user.username, started_at_ms=int(at.timestamp() * 1000))
    journal.open(call, a_try(model_name=model))
    priced = Cost(total=Decimal(cost), status="exact") if cost else Cost()
    usage = Usage(input_tokens=10, output_tokens=5)
    journal.settle(call, a_settlement(state, cost=priced, usage=usage, latency_ms=100, first_token_ms=None))


@pytest.fixture
def some_calls(alice, bob, journal: Journal, drain: Callable[[], Counts]) -> None:
    write(journal, alice, "cheap", "0.001")
    write(journal, alice, "dear", "2.5")
    write(journal, alice, "dear", None, state="error", at=NOON + dt.timedelta(hours=1))
    write(journal, bob, "cheap", "0.002", at=NOON + dt.timedelta(hours=13))
    drain()


def test_a_user_sees_own_sums_dearest_first(some_calls, alice) -> None:
    dear, cheap = summary(alice, group_by="model")
    assert (dear.label, dear.calls, dear.errors, dear.cost, dear.unpriced_calls) == ("dear", 2, 1, Decimal("2.5"), 1)
    assert (dear.input_tokens, dear.output_tokens, dear.total_tokens) == (20, 10, 30)
    assert (dear.mean_latency_ms, dear.mean_first_token_ms) == (100, None)
    assert (cheap.label, cheap.cost) == ("cheap", Decimal("0.001"))


def test_an_admin_sees_everybodys_and_a_stranger_nothing(some_calls, admin, charlie, alice, bob) -> None:
    rows = summary(admin, group_by="user")
    assert [(row.label, row.key, row.calls) for row in rows] == [("alice", alice.pk, 3), ("bob", bob.pk, 1)]
    assert summary(charlie, group_by="user") == []
    assert (totals(admin).calls, totals(bob).calls, totals(charlie).calls) == (4, 1, 0)
    assert totals(charlie).mean_latency_ms is None


def test_a_day_is_a_day_where_the_reader_lives(some_calls, admin) -> None:
    assert [(row.starts_at.day, row.calls) for row in summary(admin, group_by="day")] == [(10, 3), (11, 1)]
    in_new_york = summary(admin, group_by="day", time_zone=ZoneInfo("America/New_York"))
    assert [(row.starts_at.day, row.calls) for row in in_new_york] == [(10, 4)]


def test_hours_come_in_their_order(some_calls, admin) -> None:
    rows = summary(admin, group_by="hour")
    assert [row.label for row in rows] == [
        "2026-03-10T12:00:00+00:00", "2026-03-10T13:00:00+00:00", "2026-03-11T01:00:00+00:00",
    ]  # fmt: skip


def test_the_bounds_are_taken_to_the_hour(some_calls, admin) -> None:
    assert totals(admin, since=NOON, until=NOON + dt.timedelta(hours=1)).calls == 3
    assert totals(admin, since=NOON, until=NOON.replace(hour=13, minute=0)).calls == 2
    assert totals(admin, since=NOON + dt.timedelta(hours=1)).calls == 2


@pytest.mark.parametrize("group_by", GROUPINGS)
def test_every_grouping_sums_up_to_the_same(group_by: str, some_calls, admin) -> None:
    rows = summary(admin, group_by=group_by)
    assert sum(row.calls for row in rows) == 4
    assert sum(row.cost for row in rows) == totals(admin).cost == Decimal("2.503")


@pytest.mark.parametrize("group_by", GROUPINGS)
def test_a_summary_is_one_query(group_by: str, some_calls, admin, django_assert_num_queries) -> None:
    with django_assert_num_queries(1):
        summary(admin, group_by=group_by)


def test_an_unknown_grouping_is_refused(admin) -> None:
    with pytest.raises(ValueError, match="group_by takes one of"):
        summary(admin, group_by="password")


def test_sums_can_be_made_anew_from_the_rows(some_calls, admin, folder: Path) -> None:
    before = [summary(admin, group_by=group_by) for group_by in GROUPINGS]
    UsageRollup.objects.update(calls=99, cost=7)
    UsageRollup.objects.filter(username="bob").delete()
    assert rollup.rebuild() == 4
    assert [summary(admin, group_by=group_by) for group_by in GROUPINGS] == before


def test_a_rebuild_touches_only_the_hours_it_was_given(some_calls, admin) -> None:
    UsageRollup.objects.update(calls=99)
    assert rollup.rebuild(since=NOON, until=NOON + dt.timedelta(minutes=30)) == 2
    assert sum(UsageRollup.objects.values_list("calls", flat=True)) == 2 + 99 + 99
    assert sorted(UsageDay.objects.values_list("day__day", "calls")) == [(10, 1), (10, 100), (11, 1)]
