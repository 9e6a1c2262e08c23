"""Values as the ledger's columns take them: a line may hold what a client or a provider made up. Pure."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import models
from django.utils import timezone

from registry.models import UsageState
from registry.usage.pricing import SMALLEST

LARGEST_COST = Decimal(10) ** 9
SMALL, PLAIN = 2**15 - 1, 2**31 - 1  # what the integer columns hold on PostgreSQL
LARGEST_COUNT = 10**12  # tokens of a call: more than any has, and millions of such rows still add up in 64 bits


def text(value: Any, limit: int | None = None) -> str:
    """Text without NUL, which PostgreSQL refuses; cut at `limit` characters."""
    if not isinstance(value, str):
        return ""
    return value.replace("\x00", "\ufffd")[:limit]


def plain_json(value: Any) -> Any:
    """JSON whose texts PostgreSQL takes."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [plain_json(item) for item in value]
    if isinstance(value, dict):
        return {text(key): plain_json(item) for key, item in value.items()}
    return value


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def whole(value: Any, largest: int) -> int | None:
    """A whole number from 0 on, at most `largest`; None for what is none."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return min(value, largest)


def money(value: Any) -> Decimal | None:
    """USD to nine places; None for what is no amount that the column holds."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value))
        if not amount.is_finite() or not 0 <= amount < LARGEST_COST:
            return None
        return amount.quantize(SMALLEST)
    except InvalidOperation:
        return None


def key(value: Any) -> uuid.UUID | None:
    """A UUID from its text; None for anything else."""
    return _parsed(value) if isinstance(value, str) else None


@functools.lru_cache(maxsize=8192)
def _parsed(value: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(value)
    except ValueError:
        return None


def moment(value: Any) -> dt.datetime:
    """Unix milliseconds; now for what is no moment between 2000 and 2200."""
    if isinstance(value, int) and 946_684_800_000 <= value < 7_258_118_400_000:
        return dt.datetime.fromtimestamp(value / 1000, dt.UTC)
    return timezone.now()


def choice(choices: type[models.TextChoices], value: Any, default: str) -> str:
    """One of the values that `choices` has, else `default`."""
    return value if isinstance(value, str) and value in _names_of(choices) else default


@functools.cache
def _names_of(choices: type[models.TextChoices]) -> frozenset[str]:
    return frozenset(str(name) for name in choices.values)


def ended(said: Any) -> str:
    """The state that an ending names; what it can't name is an error."""
    state = choice(UsageState, said.get("state"), UsageState.ERROR)
    return UsageState.ERROR.value if state == UsageState.RUNNING else state
