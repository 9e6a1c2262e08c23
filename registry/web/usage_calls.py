"""Single calls: pages of them, newest first, each beginning after a row; and all of a period as CSV, streamed."""

from __future__ import annotations

import csv
import datetime as dt
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from registry.models import UsageRecord, User
from registry.web.usage_period import Asked

PER_PAGE = 25
CHUNK = 1000
COLUMNS: Final = (
    "created_at", "request_id", "username", "token_name", "model_name", "provider_slug", "credential_scope",
    "requested", "operation", "state", "error_code", "http_status", "finish_reason", "input_tokens", "output_tokens",
    "cache_read_tokens", "reasoning_tokens", "cost", "cost_status", "attempts", "latency_ms", "first_token_ms", "tags",
)  # fmt: skip


def calls_of(user: User, asked: Asked, cursor: str = "") -> QuerySet[UsageRecord]:
    """The calls of the question that `user` may see, newest first; those after the one that `cursor` names, if any."""
    rows = UsageRecord.objects.visible_to(user).filter(created_at__gte=asked.since)
    found = _read(cursor)
    # One upper bound, as one range of one index: of two, SQLite takes the first and reads on to the second; and of an
    # "or" it would read both sides whole, and sort them.
    if found is not None and found[0] < asked.until:
        rows = rows.filter(created_at__lte=found[0]).exclude(created_at=found[0], id__gte=found[1])
    else:
        rows = rows.filter(created_at__lt=asked.until)
    narrow = asked.narrow
    wanted = {"model": narrow.model, "provider_slug": narrow.provider, "user": narrow.user, "token": narrow.token}
    rows = rows.filter(**{name: value for name, value in wanted.items() if value})
    if narrow.tag:
        rows = rows.annotate(tags_text=Cast("tags", TextField())).filter(tags_text__contains=json.dumps(narrow.tag))
    return rows.order_by("-created_at", "-id")


def _read(cursor: str) -> tuple[dt.datetime, uuid.UUID] | None:
    at, _, key = cursor.partition("_")
    try:
        moment, pk = dt.datetime.fromisoformat(at), uuid.UUID(key)
        moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return None if moment.tzinfo is None else (moment, pk)


def cursor_of(row: UsageRecord) -> str:
    return f"{row.created_at.astimezone(dt.UTC).isoformat()}_{row.pk}"


async def csv_of(user: User, asked: Asked, zone: dt.tzinfo) -> AsyncIterator[str]:
    """All calls, a chunk at a time: no more than a chunk is in memory, and no connection is held between chunks."""
    yield line(COLUMNS)
    cursor = ""
    while True:
        chunk = await sync_to_async(_chunk)(calls_of(user, asked, cursor))
        yield "".join(line(_cells(row, zone)) for row in chunk)
        if len(chunk) < CHUNK:
            return
        cursor = cursor_of(chunk[-1])


def _chunk(rows: QuerySet[UsageRecord]) -> list[UsageRecord]:
    try:
        return list(rows[:CHUNK])
    finally:
        close_old_connections()


def _cells(row: UsageRecord, zone: dt.tzinfo) -> list[Any]:
    cells = [getattr(row, name) for name in COLUMNS]
    cells[0] = row.created_at.astimezone(zone).isoformat()
    cells[-1] = " ".join(row.tags)
    return cells


class _Echo:
    def write(self, text: str) -> str:
        return text


def line(cells: Any) -> str:
    """One line of CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    written: str = csv.writer(_Echo()).writerow([_plain(cell) for cell in cells])
    return written


def _plain(cell: Any) -> Any:
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    return "" if cell is None else cell
