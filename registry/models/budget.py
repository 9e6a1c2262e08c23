"""Budgets: money that a user, group, token or model may spend in a window, and the slices workers hold of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from registry.models.access_token import AccessToken
from registry.models.base import Record, RegistryQuerySet, RegistryRow
from registry.models.llm_model import LLMModel

_SUBJECTS = ("user", "group", "token", "model")


class BudgetWindow(models.TextChoices):
    DAY = "day", "a day"
    WEEK = "week", "a week"
    MONTH = "month", "a month"
    TOTAL = "total", "in all"


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
