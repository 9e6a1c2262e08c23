"""Says to PostgreSQL whose secrets a transaction may meet: the second wall around the table of ciphertexts.

The policy itself is in the migration `row_security_for_secrets`. Outside `secrets_of` the table looks empty, whatever
query is sent. SQLite has no row-level security: there this does nothing, and the querysets are the one wall.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from django.db import DEFAULT_DB_ALIAS, connections, transaction

SETTING: Final = "llmhub.secrets_of"
# The declared purposes beside a user's id. Maintenance meets every row: rotation, and the look at the start whether
# there is any secret that a lost key made. Nobody's calls (a script, the schedule) meet the shared ones alone.
MAINTENANCE: Final = "maintenance"
NOBODY: Final = "nobody"


@contextmanager
def secrets_of(caller: Hashable | None, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Open the shared secrets and those of `caller` (a user's id, None or MAINTENANCE) for the block.

    The setting is local to the transaction, so that no pooled connection carries it to the next; the block is a
    transaction of its own, or a savepoint of the one around it.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(using=using), connection.cursor() as cursor:
        whose = NOBODY if caller is None else str(caller)
        cursor.execute("SELECT current_setting(%s, true), set_config(%s, %s, true)", [SETTING, SETTING, whose])
        outer = cursor.fetchone()[0] or ""
        yield
        # An error undoes it with the savepoint.
        cursor.execute("SELECT set_config(%s, %s, true)", [SETTING, outer])


def fault(*, using: str = DEFAULT_DB_ALIAS) -> str:
    """Why the wall does not stand on this database; empty when it does, and on SQLite, which has none."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone()[0]:
            return "the database role is a superuser or may bypass row security, so row security does not hold for it"
        cursor.execute(
            "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = to_regclass(%s)",
            ["registry_credentialsecret"],
        )
        found = cursor.fetchone()
    return "" if found is not None and found[0] else "the table of ciphertexts has no row security"
