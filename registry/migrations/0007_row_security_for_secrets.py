"""PostgreSQL alone: a ciphertext is visible only to the transaction that says whose call it is.

`registry.vault.row_security` says it. The policy holds for the table's owner too (FORCE); a superuser passes it, so the
hub's role must be none. Deleting a credential takes its ciphertext along inside the database (ON DELETE CASCADE), since
Django's collector no longer sees the row; checks and actions of foreign keys pass row security by PostgreSQL's design.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

TABLE = "registry_credentialsecret"

FORWARD = """
ALTER TABLE registry_credentialsecret ENABLE ROW LEVEL SECURITY;
ALTER TABLE registry_credentialsecret FORCE ROW LEVEL SECURITY;
CREATE POLICY secrets_of_their_caller ON registry_credentialsecret USING (
    current_setting('llmhub.secrets_of', true) = 'maintenance'
    OR (
        coalesce(current_setting('llmhub.secrets_of', true), '') <> ''
        AND EXISTS (
            SELECT 1 FROM registry_credential AS credential
            WHERE credential.id = registry_credentialsecret.credential_id
            AND (
                credential.owner_id IS NULL
                OR credential.owner_id::text = current_setting('llmhub.secrets_of', true)
            )
        )
    )
);
"""
BACKWARD = """
DROP POLICY secrets_of_their_caller ON registry_credentialsecret;
ALTER TABLE registry_credentialsecret NO FORCE ROW LEVEL SECURITY;
ALTER TABLE registry_credentialsecret DISABLE ROW LEVEL SECURITY;
"""


def _foreign_key(editor: Any, on_delete: str) -> None:
    with editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype = 'f'",
            [TABLE],
        )
        [(name,)] = cursor.fetchall()
    quoted = editor.quote_name(name)
    editor.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT {quoted}")
    editor.execute(
        f"ALTER TABLE {TABLE} ADD CONSTRAINT {quoted} FOREIGN KEY (credential_id) "
        f"REFERENCES registry_credential (id) {on_delete} DEFERRABLE INITIALLY DEFERRED"
    )


def raise_the_wall(apps: Any, editor: Any) -> None:
    if editor.connection.vendor == "postgresql":
        _foreign_key(editor, "ON DELETE CASCADE")
        editor.execute(FORWARD)


def take_the_wall_away(apps: Any, editor: Any) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute(BACKWARD)
        _foreign_key(editor, "")


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_usage_days")]

    operations = [migrations.RunPython(raise_the_wall, take_the_wall_away)]
