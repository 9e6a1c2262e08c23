"""Reads what stands in a query string; malformed values are a 400, never an empty answer that looks like a true one."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, StrIndex
from django.utils.dateparse import parse_date, parse_datetime
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.request import Request


def check_query(request: Request) -> None:
    """Refuse what PostgreSQL can't take as a parameter, before any filter sees it."""
    for name, values in request.query_params.lists():
        if "\0" in name or any("\0" in value or len(value) > 2000 for value in values):
            raise ParseError("The query string holds a NUL character or an overlong value.")


def with_text_in_list(rows: QuerySet[Any], column: str, text: str) -> QuerySet[Any]:
    """Rows whose JSON list `column` holds `text`, on both databases."""
    found: QuerySet[Any]
    if connection.vendor == "postgresql":
        found = rows.filter(**{f"{column}__contains": [text]})
    else:
        # SQLite has no search in JSON lists: look for the text as Django stores it, quotes included.
        at = StrIndex(Cast(column, TextField()), Value(json.dumps(text)))
        found = rows.alias(text_at=at).filter(text_at__gt=0)
    return found


def moment(text: str, name: str) -> dt.datetime:
    """An ISO date or time as an aware moment; a date is its midnight in UTC. Raises ValidationError naming `name`."""
    try:
        when = parse_datetime(text)
        if when is None and (day := parse_date(text)):
            when = dt.datetime.combine(day, dt.time())
    except ValueError:
        when = None
    if when is None or not 2000 <= when.year <= 2200:
        raise ValidationError({name: ["This takes a date or a time such as 2026-11-20T12:00:00Z."]})
    return when if when.tzinfo else when.replace(tzinfo=dt.UTC)


def any_of(columns: tuple[str, ...], text: str) -> Q:
    """Rows that have `text` in one of the columns, whatever the case."""
    condition = Q()
    for column in columns:
        condition |= Q(**{f"{column}__icontains": text})
    return condition
