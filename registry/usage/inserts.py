"""Makes and writes many rows of one table at once: bulk_create without its work for every single value.

Constructors and compiled SQL would be most of a recorder's time. Rows are unsaved or locked model instances; fields
that stamp their own time on saving are not for here.
"""

from __future__ import annotations

import functools
import operator
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from django.db import connections, models, router
from django.db.models.base import ModelState

M = TypeVar("M", bound=models.Model)
Convert = Callable[[Any], Any]


def blank(model: type[M], **values: Any) -> M:
    """An unsaved row with its columns' defaults and `values`, by column attribute (`user_id`): as from the
    constructor, which takes twenty times as long over a wide table. Nothing is checked."""
    fixed, made = _defaults(model)
    row = model.__new__(model)
    state = row.__dict__
    state["_state"] = ModelState()
    state.update(fixed)
    for name, make in made:
        state[name] = make()
    state.update(values)
    return row


def insert(rows: Sequence[models.Model]) -> None:
    """Insert new rows, all of one model. Raises what the database raises."""
    if not rows:
        return
    model = type(rows[0])
    connection = connections[router.db_for_write(model)]
    if connection.vendor != "postgresql":
        _write(rows, "")
        return
    names = ", ".join(f'"{name}"' for name, _, _ in _columns(model, connection.alias))
    command = f'COPY "{model._meta.db_table}" ({names}) FROM STDIN'
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(command) as copy:
        for values in _values(rows, connection.alias):
            copy.write_row(values)


def rewrite(rows: Sequence[models.Model]) -> None:
    """Save all columns of rows that exist, all of one model."""
    if rows:
        names = [one.column for one in rows[0]._meta.concrete_fields if not one.primary_key]
        changes = ", ".join(f'"{name}" = EXCLUDED."{name}"' for name in names)
        _write(rows, f' ON CONFLICT ("{rows[0]._meta.pk.column}") DO UPDATE SET {changes}')


def add_up(rows: Sequence[models.Model], *, key: str, sums: Iterable[str]) -> None:
    """Insert rows, all of one model; where one with the same unique `key` stands, add its `sums` to that one's."""
    if rows:
        table = rows[0]._meta.db_table
        changes = ", ".join(f'"{name}" = "{table}"."{name}" + EXCLUDED."{name}"' for name in sums)
        _write(rows, f' ON CONFLICT ("{key}") DO UPDATE SET {changes}')


def _write(rows: Sequence[models.Model], suffix: str) -> None:
    if not rows:
        return
    model = type(rows[0])
    alias = router.db_for_write(model)
    columns = _columns(model, alias)
    names = ", ".join(f'"{name}"' for name, _, _ in columns)
    places = ", ".join(["%s"] * len(columns))
    # Names come from the models, values go as parameters.
    statement = f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({places}){suffix}'  # noqa: S608  # names of our own tables and columns; values are parameters
    with connections[alias].cursor() as cursor:
        cursor.executemany(statement, list(_values(rows, alias)))


def _values(rows: Sequence[models.Model], alias: str) -> Iterator[list[Any]]:
    """Each row's values as the database wants them, in the order of `_columns`."""
    columns = _columns(type(rows[0]), alias)
    take = operator.itemgetter(*(attribute for _, attribute, _ in columns))
    converts = [(place, convert) for place, (_, _, convert) in enumerate(columns) if convert is not None]
    for row in rows:
        values = list(take(row.__dict__))
        for place, convert in converts:
            if values[place] is not None:
                values[place] = convert(values[place])
        yield values


@functools.cache
def _defaults(model: type[models.Model]) -> tuple[dict[str, Any], list[tuple[str, Callable[[], Any]]]]:
    """Defaults by attribute: those that are the same for every row, and those to be made for each."""
    fixed: dict[str, Any] = {}
    made: list[tuple[str, Callable[[], Any]]] = []
    for one in model._meta.concrete_fields:
        if one.has_default() and callable(one.default):
            made.append((one.attname, one.default))
        else:
            value = one.get_default()
            fixed[one.attname] = value.value if isinstance(value, models.Choices) else value
    return fixed, made


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
