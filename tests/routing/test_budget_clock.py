"""What a worker does with its slices as time goes by: give back, forget, renew, ask again; and when a window ends."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from registry.models import Budget, BudgetLease
from registry.routing import budgets as module
from registry.routing.budgets import IDLE_S, KNOWN_S, LOOK_AGAIN_S, NANO, RENEW_S, BudgetError
from tests.routing.test_budgets import a_budget, beside, here, rule, worker

pytestmark = pytest.mark.django_db
TENTH = NANO // 10


class Clock:
    """Stands for the module `time` in budgets.py."""

    def __init__(self) -> None:
        self.now = timezone.now().timestamp()

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    # A whole second, so that what is added comes out exactly.
    made = Clock()
    made.now = float(int(made.now))
    monkeypatch.setattr(module, "time", made)
    return made


def leased() -> Decimal:
    return sum((row.amount for row in BudgetLease.objects.all()), Decimal(0))


@beside
async def test_an_idle_slice_goes_back_and_is_forgotten(alice: Any, clock: Clock) -> None:
    limit, books = rule(await here(a_budget, alice, "8")), worker()
    reservation = await books.reserve([limit], TENTH)
    reservation.settle(None, Decimal("0.05"))
    clock.now += IDLE_S
    await books.tend()
    assert await here(leased) == Decimal(1) and books._held
    clock.now += 1
    await books.tend()
    assert await here(leased) == Decimal("0.05")  # what was spent stays until the records book it
    assert books._held == {}


@beside
async def test_a_slice_in_use_is_not_forgotten(alice: Any, clock: Clock) -> None:
    limit, books = rule(await here(a_budget, alice, "8")), worker()
    reservation = await books.reserve([limit], TENTH)
    clock.now += IDLE_S + 1
    await books.tend()
    assert await here(leased) == Decimal("0.1") and list(books._held) == [limit.id]
    reservation.settle(None, None)
    assert books._held[limit.id].left == TENTH and books._held[limit.id].reserved == 0


@beside
async def test_a_worker_that_lives_renews_its_leases_every_five_minutes(alice: Any, clock: Clock) -> None:
    old = timezone.now() - dt.timedelta(hours=1)

    def age() -> None:
        BudgetLease.objects.update(expires_at=old)

    def is_old() -> bool:
        return BudgetLease.objects.get().expires_at == old

    limit, books = rule(await here(a_budget, alice, "8")), worker()
    await books.reserve([limit], TENTH)
    await here(age)
    clock.now += RENEW_S
    await books.tend()
    assert await here(is_old)
    clock.now += 1
    await books.tend()
    assert not await here(is_old)
    await here(age)
    clock.now += RENEW_S
    await books.tend()
    assert await here(is_old)


@beside
async def test_a_slice_of_a_window_that_ended_is_worth_nothing_and_is_not_given_back(alice: Any, clock: Clock) -> None:
    limit, books = rule(await here(a_budget, alice, "8")), worker()
    (await books.reserve([limit], TENTH)).settle(None, None)
    held = books._held[limit.id]
    held.ends_at = clock.now + IDLE_S + 1
    clock.now = held.ends_at
    await books.tend()
    assert await here(leased) == Decimal(1)
    held.left, held.ends_at, held.asked_at = NANO, clock.now, float("-inf")
    await books.reserve([limit], TENTH)
    assert await here(leased) > Decimal(1)  # asked anew: the rest of the ended one pays nothing


@beside
async def test_what_a_call_of_an_ended_window_did_not_need_is_not_the_new_ones(alice: Any, clock: Clock) -> None:
    limit, books = rule(await here(a_budget, alice, "8")), worker()
    reservation = await books.reserve([limit], TENTH)
    held = books._held[limit.id]
    held.window_start += 1
    left = held.left
    reservation.settle(None, Decimal("0.02"))
    assert (held.left, held.reserved) == (left, 0)
    other = await books.reserve([limit], TENTH)
    other.settle(None, Decimal("99"))
    assert held.left == 0  # a call that cost more than it held leaves nothing, and no debt


@beside
async def test_a_look_stands_for_a_second(alice: Any, clock: Clock) -> None:
    budget = await here(a_budget, alice, "0")
    limit, books = rule(budget), worker()
    assert not books.is_spent(limit)
    await books.look([limit])
    assert books.is_spent(limit)
    await here(_raise_to, budget, "5")
    clock.now += KNOWN_S
    await books.look([limit])
    assert books.is_spent(limit)
    clock.now += 1
    assert not books.is_spent(limit)
    await books.look([limit])
    assert not books.is_spent(limit) and await here(leased) == 0


@beside
async def test_a_no_stands_for_a_moment_for_as_much_and_more(alice: Any, clock: Clock) -> None:
    budget = await here(a_budget, alice, "0")
    limit, books = rule(budget), worker()
    with pytest.raises(BudgetError):
        await books.reserve([limit], TENTH)
    await here(_raise_to, budget, "5")
    with pytest.raises(BudgetError):
        await books.reserve([limit], TENTH)
    clock.now += LOOK_AGAIN_S + 1
    assert (await books.reserve([limit], TENTH)).held


def _raise_to(budget: Budget, amount: str) -> None:
    Budget.objects.filter(pk=budget.pk).update(amount=Decimal(amount))
