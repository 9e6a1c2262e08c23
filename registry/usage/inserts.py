"""Writes many rows of one table by one prepared statement: bulk_create without compiling SQL for every value.

The ORM spends most of a recorder's time in that. Rows are unsaved or locked model instances; defaults are applied by
their constructor, and fields that stamp their own time on saving are not for here.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections, models, router

Convert = Callable[[Any], Any]


def insert(rows: Sequence[models.Model]) -> None:
    """Insert new rows, all of one model. Raises what the database raises."""
    _write(rows, "")


def rewrite(rows: Sequence[models.Model]) -> None:
    """Save all columns of rows that exist, all of one model."""
    if rows:
        names = [one.column for one in rows[0]._meta.concrete_fields if not one.primary_key]
        changes = ", ".join(f'"{name}" = EXCLUDED."{name}"' for name in names)
        _write(rows, f' ON CONFLICT ("{rows[0]._meta.pk.column}") DO UPDATE SET {changes}')


def _write(rows: Sequence[models.Model], suffix: str) -> None:
    if not rows:
        return
    model = type(rows[0])
    alias = router.db_for_write(model)
    columns = _columns(model, alias)
    names = ", ".join(f'"{name}"' for name, _, _ in columns)
    places = ", ".join(["%s"] * len(columns))
    # Names come from the models, values go as parameters.
    statement = f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({places}){suffix}'  # noqa: S608
    values = [[_value(row.__dict__[attribute], convert) for _, attribute, convert in columns] for row in rows]
    with connections[alias].cursor() as cursor:
        cursor.executemany(statement, values)


def _value(value: Any, convert: Convert | None) -> Any:
    return value if convert is None or value is None else convert(value)


@functools.cache
def _columns(model: type[models.Model], alias: str) -> list[tuple[str, str, Convert | None]]:
    """Column, attribute and how the database wants its values; None where it takes them as they are."""
    fields = model._meta.concrete_fields
    return [(one.column or one.attname, one.attname, _converter(one, alias)) for one in fields]


def _converter(field: models.Field[Any, Any], alias: str) -> Convert | None:
    connection = connections[alias]
    plain = field.target_field if isinstance(field, models.ForeignKey) else field
    if isinstance(plain, models.UUIDField):
        return None if connection.features.has_native_uuid_field else _hex
    if isinstance(plain, models.DateTimeField):
        return connection.ops.adapt_datetimefield_value
    if isinstance(plain, models.DecimalField):
        return functools.partial(
            connection.ops.adapt_decimalfield_value,
            max_digits=plain.max_digits,
            decimal_places=plain.decimal_places,
        )
    if isinstance(plain, models.JSONField):
        return lambda value: plain.get_db_prep_value(value, connections[alias])
    return None


def _hex(value: uuid.UUID) -> str:
    return value.hex
