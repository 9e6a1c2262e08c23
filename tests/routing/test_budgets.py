"""Budgets by lease: what the database grants, what a worker holds, what the records take off."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import os
import queue
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from registry.models import Budget, BudgetLease, BudgetWindow, User
from registry.models.budget import SLICES, Spent, window_of
from registry.routing import budgets as module
from registry.routing.budgets import NANO, BudgetError, Budgets
from registry.routing.rules import BudgetRule
from registry.usage.holders import Estates, begin_holding

pytestmark = pytest.mark.django_db


_jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()


async def here(work: Callable[..., Any], *args: Any) -> Any:
    """Run a query on the test's own thread, whose transaction it belongs to, as a worker runs it on one of its own."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def job() -> None:
        try:
            loop.call_soon_threadsafe(answer.set_result, work(*args))
        except Exception as error:
            loop.call_soon_threadsafe(answer.set_exception, error)

    _jobs.put(job)
    return await answer


def beside(test: Callable[..., Any]) -> Callable[..., None]:
    """Run a test's coroutine on a loop in a thread, while this thread answers its queries."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def whole() -> None:
            try:
                await test(*args, **kwargs)
            finally:
                _jobs.put(None)

        with ThreadPoolExecutor(1) as loop_thread:
            done = loop_thread.submit(asyncio.run, whole())
            while (job := _jobs.get()) is not None:
                job()
            done.result()

    return run


def a_budget(user: User, amount: str, **fields: Any) -> Budget:
    return Budget.objects.create(user=user, amount=Decimal(amount), **fields)


def worker(name: str = "w1") -> Budgets:
    return Budgets(here, lambda: (name, -1))


def rule(budget: Budget) -> BudgetRule:
    return BudgetRule(id=budget.pk, words="The user's budget")


def take(budget: Budget, need: str, holder: str = "w1") -> Decimal:
    found = Budget.take(budget.pk, holder=holder, need=Decimal(need))
    assert found is not None
    return found.granted


def counters(budget: Budget) -> tuple[Decimal, Decimal]:
    budget.refresh_from_db()
    return budget.spent, budget.leased


def spend(budget: Budget, amount: str, holder: str = "w1") -> None:
    budget.refresh_from_db()
    assert budget.window_start is not None
    start = int(budget.window_start.timestamp())
    Budget.book([Spent(budget_id=budget.pk, holder=holder, window_start=start, amount=Decimal(amount))])


# --- the database's side ----------------------------------------------------------------------------------------------


def test_slices_are_large_at_first_small_near_the_limit_and_end_at_it(alice: User) -> None:
    budget = a_budget(alice, "50")
    granted = []
    while got := take(budget, "1"):
        granted.append(got)
    assert granted[0] == 50 // SLICES and granted[-1] == 1
    assert granted == sorted(granted, reverse=True)
    assert sum(granted) == 50
    assert counters(budget) == (0, 50)


def test_what_a_call_cost_moves_from_the_lease_to_spent(alice: User) -> None:
    budget = a_budget(alice, "10")
    take(budget, "4")
    spend(budget, "1.5")
    assert counters(budget) == (Decimal("1.5"), Decimal("2.5"))
    spend(budget, "2.5")
    assert counters(budget) == (4, 0)
    assert not BudgetLease.objects.exists()


def test_a_call_that_cost_more_than_was_leased_is_spent_whole(alice: User) -> None:
    budget = a_budget(alice, "10")
    take(budget, "1")
    spend(budget, "3")
    assert counters(budget) == (3, 0)


def test_a_window_that_ended_counts_no_more(alice: User) -> None:
    budget = a_budget(alice, "10", window=BudgetWindow.DAY)
    assert take(budget, "10") == 10
    spend(budget, "10")
    assert take(budget, "1") == 0
    Budget.objects.filter(pk=budget.pk).update(window_start=window_of("day", dt.datetime.now(dt.UTC), NEVER)[0] - DAY)
    budget.refresh_from_db()
    assert (budget.spent_now, budget.left) == (0, 10)
    assert take(budget, "1") > 0
    assert counters(budget)[0] == 0
    old = int((budget.window_start - DAY).timestamp())  # type: ignore[operator]  # set by the take
    Budget.book([Spent(budget_id=budget.pk, holder="w1", window_start=old, amount=Decimal(5))])
    assert counters(budget)[0] == 0


DAY = dt.timedelta(days=1)
NEVER = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("window", "now", "start", "end"),
    [
        ("day", "2028-02-29T23:59:59", "2028-02-29", "2028-03-01"),
        ("week", "2026-11-22T12:00:00", "2026-11-16", "2026-11-23"),
        ("month", "2028-02-29T00:00:00", "2028-02-01", "2028-03-01"),
        ("month", "2026-12-31T23:00:00", "2026-12-01", "2027-01-01"),
        ("total", "2026-12-31T23:00:00", "2020-01-01", None),
    ],
)
def test_windows_are_utc_days_weeks_from_monday_and_months(window: str, now: str, start: str, end: str | None) -> None:
    moment = dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC)
    found = window_of(window, moment, NEVER)
    assert [None if one is None else one.date().isoformat() for one in found] == [start, end]


def test_a_form_that_was_opened_before_writes_no_old_counters(alice: User) -> None:
    budget = a_budget(alice, "10")
    opened = Budget.objects.get(pk=budget.pk)
    take(budget, "4")
    opened.amount = Decimal(20)
    opened.save()
    assert counters(budget) == (0, 4)
    assert budget.amount == 20


def test_random_leases_spends_and_returns_never_exceed_the_amount(alice: User) -> None:
    luck = random.Random(7)
    budget = a_budget(alice, "20")
    held = {"w1": Decimal(0), "w2": Decimal(0)}
    for _ in range(400):
        holder = luck.choice(["w1", "w2"])
        part = min(held[holder], Decimal(luck.randint(1, 300)) / 100)
        match luck.choice(["take", "spend", "return"]):
            case "take":
                held[holder] += take(budget, str(Decimal(luck.randint(1, 200)) / 100), holder)
            case "spend" if part:
                spend(budget, str(part), holder)
                held[holder] -= part
            case "return" if part:
                Budget.give_back(budget.pk, holder=holder, amount=part)
                held[holder] -= part
        spent, leased = counters(budget)
        assert spent + leased <= 20
        assert leased == sum(held.values())


def test_the_dead_holders_slices_go_back_at_the_second_look_and_the_livings_stay(alice: User, tmp_path: Path) -> None:
    budget = a_budget(alice, "10")
    living, fd = begin_holding(tmp_path)
    dead, dead_fd = begin_holding(tmp_path)
    os.close(dead_fd)
    take(budget, "4", living)
    take(budget, "5", dead)
    estates = Estates(tmp_path)
    assert estates.settle() == 0
    estates._checked_at = float("-inf")
    assert estates.settle() == 1
    assert counters(budget) == (0, 4)
    assert [lease.holder for lease in BudgetLease.objects.all()] == [living]
    assert [path.name for path in tmp_path.glob("*.holder")] == [f"{living}.holder"]
    os.close(fd)


# --- a worker's side --------------------------------------------------------------------------------------------------


@beside
async def test_a_worker_asks_the_database_only_when_its_slice_is_empty(alice: User) -> None:
    asked = 0

    async def counted(work: Callable[..., Any], *args: Any) -> Any:
        nonlocal asked
        asked += 1
        return await here(work, *args)

    budget = await here(a_budget, alice, "80")
    one = Budgets(counted, lambda: ("w1", -1))
    for _ in range(10):
        await one.reserve([rule(budget)], NANO)
    assert asked == 1


@beside
async def test_what_was_not_needed_comes_free_at_once(alice: User) -> None:
    budget = await here(a_budget, alice, "10")
    one = worker()
    for _ in range(9):  # each may cost 8, and costs 0.25
        (await one.reserve([rule(budget)], 8 * NANO)).settle(None, Decimal("0.25"))
        await here(spend, budget, "0.25")
    assert (await here(counters, budget))[0] == Decimal("2.25")
    with pytest.raises(BudgetError) as caught:
        await one.reserve([rule(budget)], 8 * NANO)
    assert (caught.value.code, caught.value.status, caught.value.should_retry) == ("insufficient_quota", 429, False)
    assert "7.75 USD left" in caught.value.message and "max_tokens" in caught.value.message


@beside
async def test_workers_together_never_hold_more_than_there_is(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    budget = await here(a_budget, alice, "50")
    workers = [worker("w1"), worker("w2")]

    async def call(number: int) -> bool:
        try:
            await workers[number % 2].reserve([rule(budget)], NANO)
        except BudgetError as error:
            assert error.code == "budget_in_use"  # held, not spent: another may come free
            return False
        return True

    admitted = sum(await asyncio.gather(*(call(number) for number in range(200))))
    assert admitted == 50


@beside
async def test_money_that_comes_free_goes_to_who_waits_for_it(alice: User) -> None:
    budget = await here(a_budget, alice, "1")
    one = worker()
    first = await one.reserve([rule(budget)], NANO)
    waiting = asyncio.create_task(one.reserve([rule(budget)], NANO))
    while not one._held[budget.pk].changed._waiters:
        await asyncio.sleep(0.001)
    first.settle(None, None)
    assert (await waiting).need == NANO


@beside
async def test_several_budgets_pay_together_or_not_at_all(alice: User, bob: User) -> None:
    rich, poor = await here(a_budget, alice, "10"), await here(a_budget, bob, "0.5")
    one = worker()
    with pytest.raises(BudgetError):
        await one.reserve([rule(rich), rule(poor)], NANO)
    assert one._held[rich.pk].reserved == 0
    both = await one.reserve([rule(rich), rule(poor)], NANO // 4)
    assert {share.budget_id for share in both.shares} == {rich.pk, poor.pk}


@beside
async def test_a_budget_that_was_deleted_limits_nothing(alice: User) -> None:
    budget = await here(a_budget, alice, "0")
    gone = rule(budget)
    await here(lambda: Budget.objects.all().delete())
    assert (await worker().reserve([gone], NANO)).shares == ()


@beside
async def test_no_database_no_lease_and_a_slice_in_hand_goes_on(alice: User) -> None:
    budget = await here(a_budget, alice, "80")
    one = worker()
    await one.reserve([rule(budget)], NANO)

    async def away(*_: Any) -> Any:
        raise ConnectionError("the database is away")

    one.in_thread = away
    for _ in range(9):
        await one.reserve([rule(budget)], NANO)
    with pytest.raises(ConnectionError):
        await one.reserve([rule(budget)], NANO)


@beside
async def test_an_idle_slice_goes_back(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = await here(a_budget, alice, "80")
    one = worker()
    reservation = await one.reserve([rule(budget)], NANO)
    monkeypatch.setattr(module, "IDLE_S", -1.0)
    await one.tend()
    assert await here(counters, budget) == (0, 1)  # what a call under way may cost stays
    reservation.settle(None, Decimal(0))
    await one.tend()
    assert await here(counters, budget) == (0, 0)


@beside
async def test_a_look_tells_the_gate_what_is_spent(alice: User) -> None:
    budget = await here(a_budget, alice, "1")
    await here(take, budget, "1", "elsewhere")
    await here(spend, budget, "1", "elsewhere")
    one = worker()
    assert not one.is_spent(rule(budget))
    await one.look([rule(budget)])
    assert one.is_spent(rule(budget))
