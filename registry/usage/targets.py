"""Which rows a batch of usage may point to, held in place until it is written. Writes nothing.

People delete models, providers and conversations while their calls are being recorded. Both sides then want the same
rows, so the order is fixed: usage first, then conversations, then what they point to. Who deletes never fails for it:
the database itself clears or takes along what the recorder wrote meanwhile (migration 0002), and where the two still
meet head-on the recorder gives way after LOCK_TIMEOUT_MS, before the database would choose somebody.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.db import connections, models, router, transaction

from registry.models import UsageRecord

LOCK_TIMEOUT_MS = 700  # PostgreSQL looks for deadlocks after 1000

Keys = Mapping[type[models.Model], set[uuid.UUID]]


@contextmanager
def giving_way() -> Iterator[None]:
    """A transaction that waits for nobody's lock for long: OperationalError then, and the journal is read again."""
    connection = connections[router.db_for_write(UsageRecord)]
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
        yield


def hold_existing(wanted: Keys) -> dict[type[models.Model], set[uuid.UUID]]:
    """Those of the wanted rows that exist; none of them can be deleted before the transaction ends.

    SQLite has one writer at a time, and this is it.
    """
    found: dict[type[models.Model], set[uuid.UUID]] = {}
    for model, keys in sorted(wanted.items(), key=lambda item: item[0]._meta.db_table):
        connection = connections[router.db_for_write(model)]
        if connection.vendor != "postgresql":
            found[model] = set(model._base_manager.filter(pk__in=keys).values_list("pk", flat=True))
            continue
        # The weakest lock that forbids a deletion: changes of the row by others go on. The ORM can't ask for it.
        table, column = model._meta.db_table, model._meta.pk.column
        query = f'SELECT "{column}" FROM "{table}" WHERE "{column}" = ANY(%s) ORDER BY 1 FOR KEY SHARE'  # noqa: S608 (names of our own tables)
        with connection.cursor() as cursor:
            cursor.execute(query, [sorted(keys)])
            found[model] = {row[0] for row in cursor.fetchall()}
    return found
