"""Money before a call: reserves what it may cost at most, out of slices leased from the database, and settles after.

A worker spends its slice without asking anybody; only an empty one costs a query. The records move what a call really
cost from the lease to `spent`, once (registry.usage.spend); here the difference to what was reserved comes free again.
Amounts are whole billionths of a USD. One event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from adapters.errors import LLMError
from adapters.types import Usage
from registry.routing.rules import BudgetRule
from registry.usage.ledger import BudgetShare
from registry.usage.lines import plain_json

NANO = 1_000_000_000
WAIT_S = 1.5  # for money that other calls have reserved and may not need
LOOK_AGAIN_S = 0.2
KNOWN_S = 1.0  # how long a no stands without asking again
IDLE_S = 5.0  # a slice that nobody used for so long goes back
RENEW_S = 300.0

T = TypeVar("T")
Ask = Callable[..., Awaitable[Any]]  # runs a function that reads the database, off the event loop


class BudgetError(LLMError):
    """A budget can't pay. `code` insufficient_quota: it is spent; budget_in_use: other calls hold what is left."""

    status = 429

    def __init__(self, message: str, *, code: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.code = code
        self.should_retry = code != "insufficient_quota"


@dataclass(slots=True)
class _Held:
    """A worker's slice of one budget."""

    rule: BudgetRule
    left: int = 0
    reserved: int = 0
    window_start: int = 0
    ends_at: float = float("inf")  # Unix seconds
    used_at: float = 0.0
    room: int | None = None  # neither spent nor looked at by anybody else, when it was last asked for
    asked_at: float = float("-inf")
    is_gone: bool = False
    refused_need: int | None = None  # the last question's, when the answer was no
    asking: asyncio.Task[None] | None = None
    share: tuple[int, bytes] = (-1, b"")  # a window, and what a journal's line says of this slice in it
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def drop_ended(self) -> None:
        if time.time() >= self.ends_at:
            self.left = 0

    def refused(self, need: int) -> bool:
        """Whether the database said no to as much a moment ago."""
        recent = time.monotonic() - self.asked_at < LOOK_AGAIN_S
        return recent and self.refused_need is not None and need >= self.refused_need

    def take(self, need: int) -> bool:
        if self.left < need or time.time() >= self.ends_at:
            return False
        self.left -= need
        self.reserved += need
        self.used_at = time.monotonic()
        return True


class Reservation:
    """What one try may cost, held in each budget that pays for it. Settled once."""

    __slots__ = ("budgets", "held", "need", "windows")

    def __init__(self, budgets: Budgets, need: int) -> None:
        self.budgets = budgets
        self.need = need
        self.held: list[_Held] = []
        self.windows: list[int] = []

    def add(self, held: _Held) -> None:
        self.held.append(held)
        self.windows.append(held.window_start)

    @property
    def shares(self) -> tuple[BudgetShare, ...]:
        holder = self.budgets.holder
        return tuple(
            BudgetShare(budget_id=held.rule.id, holder=holder, window_start=window)
            for held, window in zip(self.held, self.windows, strict=True)
        )

    def encoded_shares(self) -> bytes:
        """`shares` as a journal's line has them."""
        said = []
        for held, window in zip(self.held, self.windows, strict=True):
            if held.share[0] != window:
                share = BudgetShare(budget_id=held.rule.id, holder=self.budgets.holder, window_start=window)
                held.share = (window, plain_json(share))
            said.append(held.share[1])
        return b"[" + b",".join(said) + b"]"

    def settle(self, usage: Usage | None, cost: Decimal | None) -> None:
        """Free what was not needed. None, an unknown cost, is what the records will count: nothing."""
        spent = int(cost * NANO) if cost else 0
        for held, window in zip(self.held, self.windows, strict=True):
            held.reserved -= self.need
            if held.window_start == window:
                held.left = max(held.left + self.need - spent, 0)
            held.changed.set()
            held.changed.clear()
        self.held = []
        self.windows = []


class Budgets:
    """All slices of this worker. `in_thread` runs what asks the database."""

    def __init__(self, in_thread: Ask, begin_holding: Callable[[], tuple[str, int]]) -> None:
        """`begin_holding` gives a name that stands as long as this process lives; asked for with the first lease."""
        self.in_thread = in_thread
        self._begin_holding = begin_holding
        self._holder: tuple[str, int] | None = None
        self._held: dict[Hashable, _Held] = {}
        self._renewed_at = time.monotonic()

    @property
    def holder(self) -> str:
        if self._holder is None:
            self._holder = self._begin_holding()
        return self._holder[0]

    async def reserve(self, rules: Sequence[BudgetRule], need: int) -> Reservation:
        """Hold `need` in each budget. Raises BudgetError, or what the database raises: no lease is a no."""
        reservation = Reservation(self, need)
        try:
            for rule in rules:
                held = self._held.get(rule.id)
                if held is None:
                    held = self._held[rule.id] = _Held(rule)
                if held.take(need) or await self._lease(held, need):
                    reservation.add(held)
        except BaseException:
            reservation.settle(None, None)
            raise
        return reservation

    def reserve_now(self, rules: Sequence[BudgetRule], need: int) -> Reservation | None:
        """As `reserve` where the slices in hand suffice; None where the database would have to be asked."""
        reservation = Reservation(self, need)
        for rule in rules:
            held = self._held.get(rule.id)
            if held is None or not held.take(need):
                reservation.settle(None, None)
                return None
            reservation.add(held)
        return reservation

    def is_spent(self, rule: BudgetRule) -> bool:
        """Whether a look a moment ago found nothing left; False where nobody looked."""
        held = self._held.get(rule.id)
        if held is None or held.room is None or time.monotonic() - held.asked_at > KNOWN_S:
            return False
        return held.room <= 0 and held.left <= 0

    async def look(self, rules: Sequence[BudgetRule]) -> None:
        """Ask how the budgets stand, for a resolution that is only looked at."""
        for rule in rules:
            held = self._held.setdefault(rule.id, _Held(rule))
            if time.monotonic() - held.asked_at > KNOWN_S:
                await self._ask(held, 0)

    async def tend(self) -> None:
        """Give back what nobody used, and keep the rest. Call about once a second."""
        now = time.monotonic()
        for key, held in list(self._held.items()):
            if held.asking is None and now - held.used_at > IDLE_S:
                await self._give_back(held)
                if not held.reserved and not held.left and held.asking is None and now - held.asked_at > IDLE_S:
                    self._held.pop(key, None)
        if now - self._renewed_at > RENEW_S and self._held:
            self._renewed_at = now
            from registry.models import BudgetLease

            await self.in_thread(BudgetLease.renew, self.holder)

    async def _give_back(self, held: _Held) -> None:
        amount, held.left = held.left, 0
        if not amount or time.time() >= held.ends_at:
            return
        from registry.models import Budget

        try:
            await self.in_thread(_give_back, Budget, held.rule.id, self.holder, amount)
        except BaseException:
            held.left += amount
            raise

    async def _lease(self, held: _Held, need: int) -> bool:
        """True when `need` is taken; False when the budget is gone, and limits nothing. Raises BudgetError."""
        deadline = time.monotonic() + WAIT_S
        while True:
            if not held.refused(need):
                await self._ask(held, need)
            if held.is_gone:
                self._held.pop(held.rule.id, None)
                return False
            if held.take(need):
                return True
            room = held.room or 0
            if room < need:
                raise _spent(held.rule, room, need)
            if not held.refused(need):
                continue  # others took what was granted: there may be more
            if time.monotonic() >= deadline:
                words = f"{held.rule.words} is held by calls under way; this one may cost {_usd(need)} USD."
                raise BudgetError(words, code="budget_in_use", retry_after_s=1)
            try:
                await asyncio.wait_for(held.changed.wait(), LOOK_AGAIN_S)
            except TimeoutError:
                pass
            if held.take(need):
                return True

    async def _ask(self, held: _Held, need: int) -> None:
        """One query at a time for all who wait for this budget."""
        if held.asking is None:
            held.asking = asyncio.create_task(self._fetch(held, need))
        await asyncio.shield(held.asking)

    async def _fetch(self, held: _Held, need: int) -> None:
        from registry.models import Budget

        try:
            held.drop_ended()
            missing = max(need - held.left, 0)
            found = await self.in_thread(_take, Budget, held.rule.id, self.holder, missing)
            held.asked_at = time.monotonic()
            held.is_gone = found is None
            if found is None:
                return
            window_start = int(found.window_start.timestamp())
            if window_start != held.window_start:
                held.left, held.window_start = 0, window_start
                held.ends_at = found.window_end.timestamp() if found.window_end else float("inf")
            held.left += int(found.granted * NANO)
            held.refused_need = need if missing and not found.granted else None
            held.room = int(found.room * NANO)
        finally:
            held.asking = None


def _take(budget: Any, key: Hashable, holder: str, need: int) -> Any:
    return budget.take(key, holder=holder, need=Decimal(need) / NANO)


def _give_back(budget: Any, key: Hashable, holder: str, amount: int) -> None:
    budget.give_back(key, holder=holder, amount=Decimal(amount) / NANO)


def _spent(rule: BudgetRule, room: int, need: int) -> BudgetError:
    if room <= 0:
        return BudgetError(f"{rule.words} is spent.", code="insufficient_quota")
    words = (
        f"{rule.words} has {_usd(room)} USD left, and this call may cost {_usd(need)} USD. "
        "A lower max_tokens makes it cost less."
    )
    return BudgetError(words, code="insufficient_quota")


def _usd(amount: int) -> str:
    return f"{(Decimal(amount) / NANO).normalize():f}"
