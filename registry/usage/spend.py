"""What settled calls take from budgets, each once: in the transaction that settles them. Leases nothing out."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from registry.models import Budget, UsageRecord
from registry.models.budget import Spent


def add(rows: Sequence[UsageRecord]) -> None:
    """Move each row's cost from the leases that its budgets paid it with."""
    sums: dict[tuple[UUID, str, int], Decimal] = {}
    for row in rows:
        if row.cost:
            for share in row.budget_shares:
                if (place := _place(share)) is not None:
                    sums[place] = sums.get(place, Decimal(0)) + row.cost
    if sums:
        Budget.book(
            Spent(budget_id=budget_id, holder=holder, window_start=window_start, amount=amount)
            for (budget_id, holder, window_start), amount in sorted(sums.items())
        )


def _place(share: Any) -> tuple[UUID, str, int] | None:
    """A journal's line may hold anything."""
    try:
        return UUID(share["budget_id"]), str(share["holder"])[:80], int(share["window_start"])
    except (KeyError, TypeError, ValueError):
        return None
