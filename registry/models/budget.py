"""Budgets: money that a user, group, token or model may spend in a window, and the slices workers hold of it.

`spent + leased <= amount` holds whatever workers do: each change of the three is made here, under the budget's lock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from registry.models.access_token import AccessToken
from registry.models.base import Record, RegistryQuerySet, RegistryRow
from registry.models.credential import Credential
from registry.models.llm_model import LLMModel
from registry.models.provider import Provider

_SUBJECTS = ("user", "group", "token", "model")
LIMIT_SUBJECTS = ("user", "group", "model", "provider", "credential")
_COUNTERS = frozenset({"spent", "leased", "window_start"})
SLICES = 8  # a lease takes at most this part of what is free: large at first, small near the limit
LEASE_LIFE = dt.timedelta(hours=1)  # a living worker renews; a node that never comes back loses its slices after it
ZERO = Decimal(0)


class BudgetWindow(models.TextChoices):
    DAY = "day", "a day"
    WEEK = "week", "a week"
    MONTH = "month", "a month"
    TOTAL = "total", "in all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a worker got of a budget. `room` is what is not spent, whoever holds it; 0 `granted` is a no."""

    granted: Decimal
    room: Decimal
    window_start: dt.datetime
    window_end: dt.datetime | None  # None: the window never ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Money that calls of one holder cost in one window of a budget."""

    budget_id: UUID
    holder: str
    window_start: int  # Unix seconds
    amount: Decimal


def window_of(window: str, now: dt.datetime, began: dt.datetime) -> tuple[dt.datetime, dt.datetime | None]:
    """The window around `now`, in UTC: from midnight, Monday or the first; `total` is from `began` for ever."""
    midnight = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match window:
        case BudgetWindow.DAY:
            return midnight, midnight + dt.timedelta(days=1)
        case BudgetWindow.WEEK:
            monday = midnight - dt.timedelta(days=midnight.weekday())
            return monday, monday + dt.timedelta(days=7)
        case BudgetWindow.MONTH:
            first = midnight.replace(day=1)
            return first, (first + dt.timedelta(days=32)).replace(day=1)
        case _:
            return began, None


def exactly_one(names: tuple[str, ...]) -> Q:
    condition = Q()
    for name in names:
        condition |= Q(**{f"{other}__isnull": other != name for other in names})
    return condition


class Budget(RegistryRow, Record):
    """Money in USD for exactly one subject. `spent` and `leased` are of the window that began at `window_start`."""

    quiet_fields: ClassVar[frozenset[str]] = RegistryRow.quiet_fields | {"spent", "leased", "window_start"}

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets"
    )
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets")
    token = models.ForeignKey(AccessToken, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets")
    model = models.ForeignKey(LLMModel, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets")
    window = models.CharField(max_length=8, choices=BudgetWindow.choices, default=BudgetWindow.MONTH)
    amount = models.DecimalField(max_digits=18, decimal_places=9, validators=[MinValueValidator(Decimal(0))])
    spent = models.DecimalField(max_digits=18, decimal_places=9, default=Decimal(0), editable=False)
    leased = models.DecimalField(max_digits=18, decimal_places=9, default=Decimal(0), editable=False)
    window_start = models.DateTimeField(null=True, blank=True, editable=False)
    enabled = models.BooleanField(default=True)

    class BudgetQuerySet(RegistryQuerySet):
        owner_field = "user"
        shared_when_ownerless = False

        def visible_to(self, user: Any) -> Self:
            """One's own; an admin sees all, whomever they are for."""
            return self.all() if user.is_superuser and user.is_active else super().visible_to(user)

        def editable_by(self, user: Any) -> Self:
            """All for an admin, none for anybody else: nobody raises their own limit."""
            return self.all() if user.is_superuser and user.is_active else self.none()

    objects = BudgetQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=exactly_one(_SUBJECTS), name="budget_one_subject"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="budget_amount_not_negative"),
            models.CheckConstraint(condition=Q(leased__gte=0), name="budget_leased_not_negative"),
        ]

    def __str__(self) -> str:
        subject = self.user or self.group or self.token or self.model
        return f"{self.amount.normalize():f} USD {self.get_window_display()} for {subject}"

    def save(self, *, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """A form that was opened before a call was paid must not write the old counters back."""
        if update_fields is None and not self._state.adding:
            update_fields = {field.name for field in self._meta.concrete_fields if not field.primary_key} - _COUNTERS
        super().save(update_fields=update_fields, **kwargs)

    @property
    def spent_now(self) -> Decimal:
        """Spent in the window that runs now: what an ended window spent counts no more."""
        return self.spent if self._is_current() else ZERO

    @property
    def leased_now(self) -> Decimal:
        return self.leased if self._is_current() else ZERO

    @property
    def left(self) -> Decimal:
        """Neither spent nor in a worker's hands."""
        return max((self.amount or ZERO) - self.spent_now - self.leased_now, ZERO)

    def _is_current(self) -> bool:
        return (
            self.created_at is not None
            and self.window_start == window_of(self.window, timezone.now(), self.created_at)[0]
        )

    def _roll(self, now: dt.datetime) -> dt.datetime | None:
        """Begin the window that `now` is in, where another was counted; answers when it ends. Does not save."""
        start, end = window_of(self.window, now, self.created_at)
        if self.window_start != start:
            BudgetLease.objects.filter(budget=self).delete()
            self.window_start, self.spent, self.leased = start, ZERO, ZERO
        return end

    @classmethod
    def take(cls, budget_id: UUID, *, holder: str, need: Decimal) -> Slice | None:
        """Lease at least `need` USD to a worker, or nothing. None: there is no such budget (any more)."""
        with transaction.atomic():
            budget = cls.objects.select_for_update(of=("self",)).filter(pk=budget_id, enabled=True).first()
            if budget is None:
                return None
            end = budget._roll(timezone.now())
            room = budget.amount - budget.spent
            free = room - budget.leased
            granted = ZERO
            if ZERO < need <= free:
                granted = need * max(1, int(free / SLICES / need))
                budget.leased += granted
                BudgetLease.add(budget, holder, granted)
            budget.save(update_fields=[*_COUNTERS])
            assert budget.window_start is not None
            return Slice(granted=granted, room=room, window_start=budget.window_start, window_end=end)

    @classmethod
    def give_back(cls, budget_id: UUID, *, holder: str, amount: Decimal) -> None:
        """Return what a worker holds and does not need."""
        with transaction.atomic():
            budget = cls.objects.select_for_update(of=("self",)).filter(pk=budget_id).first()
            if budget is not None:
                budget.leased -= BudgetLease.subtract(budget, holder, amount)
                budget.save(update_fields=["leased"])

    @classmethod
    def book(cls, spent: Iterable[Spent]) -> None:
        """Move what calls cost from their workers' leases to `spent`. Inside the transaction that settles the calls."""
        wanted: dict[UUID, list[Spent]] = {}
        for one in spent:
            wanted.setdefault(one.budget_id, []).append(one)
        for budget in cls.objects.select_for_update(of=("self",)).filter(pk__in=wanted).order_by("pk"):
            for one in wanted[budget.pk]:
                if budget.window_start is None or int(budget.window_start.timestamp()) != one.window_start:
                    continue  # of a window that has ended
                budget.spent += one.amount
                budget.leased -= BudgetLease.subtract(budget, one.holder, one.amount)
            budget.save(update_fields=["spent", "leased"])


class BudgetLease(Record):
    """A slice of a budget that one worker may spend without asking; what is left goes back when it expires."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="leases")
    holder = models.CharField(max_length=80)
    window_start = models.DateTimeField()
    amount = models.DecimalField(max_digits=18, decimal_places=9)
    expires_at = models.DateTimeField()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=("expires_at",), name="lease_by_expiry")]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(amount__gte=0), name="lease_not_negative")
        ]

    def __str__(self) -> str:
        return f"{self.amount} of {self.budget_id} at {self.holder}"

    @classmethod
    def add(cls, budget: Budget, holder: str, amount: Decimal) -> None:
        """Under the budget's lock."""
        lease = cls.objects.filter(budget=budget, holder=holder).first() or cls(
            budget=budget, holder=holder, amount=ZERO
        )
        assert budget.window_start is not None
        lease.window_start = budget.window_start
        lease.amount += amount
        lease.expires_at = timezone.now() + LEASE_LIFE
        lease.save()

    @classmethod
    def subtract(cls, budget: Budget, holder: str, amount: Decimal) -> Decimal:
        """Under the budget's lock. Answers how much was there to be taken off."""
        lease = cls.objects.filter(budget=budget, holder=holder).first()
        if lease is None:
            return ZERO
        taken = min(amount, lease.amount)
        lease.amount -= taken
        if lease.amount:
            lease.save(update_fields=["amount", "updated_at"])
        else:
            lease.delete()
        return taken

    @classmethod
    def renew(cls, holder: str) -> None:
        cls.objects.filter(holder=holder).update(expires_at=timezone.now() + LEASE_LIFE)

    @classmethod
    def recover(cls, *, holders: Iterable[str] = ()) -> int:
        """Return what the dead held, and what nobody renewed; answers how many leases that were.

        Only for holders whose every call is in the records: what a call cost was taken off its lease there.
        """
        gone = Q(holder__in=list(holders)) | Q(expires_at__lt=timezone.now())
        found = list(cls.objects.filter(gone).values_list("budget_id", "holder", "amount"))
        for budget_id, holder, amount in found:
            Budget.give_back(budget_id, holder=holder, amount=amount)
        return len(found)


class RateLimit(RegistryRow, Record):
    """How much exactly one subject may use at a time: requests and tokens a minute, calls at once. Empty: no limit.

    A group's limit is for its members together. A token has limits of its own in its row.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="rate_limits"
    )
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.CASCADE, related_name="rate_limits")
    model = models.ForeignKey(LLMModel, null=True, blank=True, on_delete=models.CASCADE, related_name="rate_limits")
    provider = models.ForeignKey(Provider, null=True, blank=True, on_delete=models.CASCADE, related_name="rate_limits")
    credential = models.ForeignKey(
        Credential, null=True, blank=True, on_delete=models.CASCADE, related_name="rate_limits"
    )
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    concurrency = models.PositiveIntegerField(null=True, blank=True)
    enabled = models.BooleanField(default=True)

    class RateLimitQuerySet(RegistryQuerySet):
        owner_field = "user"
        shared_when_ownerless = False

        def visible_to(self, user: Any) -> Self:
            """One's own; an admin sees all, whomever they are for."""
            return self.all() if user.is_superuser and user.is_active else super().visible_to(user)

        def editable_by(self, user: Any) -> Self:
            return self.all() if user.is_superuser and user.is_active else self.none()

    objects = RateLimitQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=exactly_one(LIMIT_SUBJECTS), name="rate_limit_one_subject"),
            *(models.UniqueConstraint(fields=(name,), name=f"rate_limit_one_a_{name}") for name in LIMIT_SUBJECTS),
        ]

    def __str__(self) -> str:
        return f"limit of {self.user or self.group or self.model or self.provider or self.credential}"
