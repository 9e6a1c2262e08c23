"""What one settled call adds to the sums, and by what it is summed. Reads and writes no row."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from registry.models import UsageRecord, UsageState
from registry.models.usage import hour_of, tags_key

FAILED = frozenset(
    {UsageState.ERROR, UsageState.TIMEOUT, UsageState.TRUNCATED, UsageState.ABANDONED, UsageState.REJECTED}
)
# Calls that the client itself left are no errors.

SUMS = (
    "calls",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "reasoning_tokens",
    "cost",
    "unpriced_calls",
    "latency_ms",
    "first_token_ms",
    "first_token_calls",
)


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What one row of sums is about."""

    at: dt.datetime  # the hour, or the day's midnight
    user_key: Any
    username: str
    token_key: Any
    token_name: str
    model_key: Any
    model_name: str
    provider_slug: str
    credential_scope: str
    tags: str

    @classmethod
    def of(cls, row: UsageRecord) -> Dimensions:
        return cls(
            at=hour_of(row.created_at.astimezone(dt.UTC)),
            user_key=row.user_id,
            username=row.username,
            token_key=row.token_id,
            token_name=row.token_name,
            model_key=row.model_id,
            model_name=row.model_name,
            provider_slug=row.provider_slug,
            credential_scope=row.credential_scope,
            tags=tags_key(row.tags),
        )

    def on_its_day(self) -> Dimensions:
        return replace(self, at=self.at.replace(hour=0))

    def as_fields(self) -> dict[str, Any]:
        """All but the time, by column."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "at"}

    @property
    def digest(self) -> str:
        values = [self.at.isoformat(), *self.as_fields().values()]
        if not self.tags:
            values.pop()  # rows from before there were tags keep their digest
        return digest_of(values)


COLUMNS = tuple(name for name in Dimensions.__slots__ if name != "at")


def sums_of(row: UsageRecord) -> dict[str, int | Decimal]:
    """What one settled call adds. A call is unpriced when it used something whose price is not known."""
    used = row.input_tokens is not None or row.output_tokens is not None
    return {
        "calls": 1,
        "errors": int(row.state in FAILED),
        "input_tokens": row.input_tokens or 0,
        "output_tokens": row.output_tokens or 0,
        "cache_read_tokens": row.cache_read_tokens or 0,
        "reasoning_tokens": row.reasoning_tokens or 0,
        "cost": row.cost or Decimal(0),
        "unpriced_calls": int(used and row.cost is None),
        "latency_ms": row.latency_ms or 0,
        "first_token_ms": row.first_token_ms or 0,
        "first_token_calls": int(row.first_token_ms is not None),
    }


def add_to(totals: dict[Any, dict[str, Any]], where: Any, sums: dict[str, Any]) -> None:
    """Add `sums` to what stands at `where`."""
    total = totals.setdefault(where, dict.fromkeys(SUMS, 0))
    for name in SUMS:
        total[name] += sums[name]


def digest_of(values: list[Any]) -> str:
    """One text for a time and all dimensions, null or not: unique where databases disagree about nulls."""
    text = json.dumps([None if value is None else str(value) for value in values])
    return hashlib.sha256(text.encode()).hexdigest()
