"""Mutants that change nothing that a test could see, each with its reason. `make mutation` counts them neither way."""

from __future__ import annotations

from typing import Final

# "module function: what", as `make mutation` prints it without the line.
EQUIVALENT: Final[dict[str, str]] = {
    "registry.models.access_token AccessToken.mint: not True": (
        "force_insert: a new row whose key comes from a default is inserted by Django anyway"
    ),
    "registry.vault.row_security secrets_of: if False: instead of connection.vendor != 'postgresql'": (
        "tried on PostgreSQL, where it is false anyway; on SQLite every reveal fails with it"
    ),
    "registry.vault.row_security fault: if False: instead of connection.vendor != 'postgresql'": (
        "tried on PostgreSQL, where it is false anyway; on SQLite `prepare` fails with it"
    ),
    "registry.models.base RegistryChange.append: if False: instead of connections[using].vendor == 'postgresql'": (
        "tried on SQLite, where it is false anyway"
    ),
    "registry.models.base RegistryChange.append: without: cursor.execute('SELECT pg_advisory_xact_lock(%s)', "
    "[cls.ADVISORY_LOCK])": "tried on SQLite, where it is never reached",
    "registry.models.base RegistryChange.append: if False: instead of not rows": (
        "an empty bulk_create writes nothing either; the line spares PostgreSQL a lock"
    ),
}
