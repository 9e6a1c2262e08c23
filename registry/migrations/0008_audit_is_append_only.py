"""The audit trail is append only, in the database: triggers refuse every change and every deletion.

One change is let through: a person who is deleted leaves the row (`actor` becomes null), their name stays in it.
SQLite drops a table's triggers when a migration remakes that table: such a migration must make them again.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

TABLE = "registry_auditevent"
REFUSAL = "the audit trail is append only"

POSTGRES = [
    f"""
    CREATE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND NEW.actor_id IS NULL
            AND to_jsonb(NEW) - 'actor_id' = to_jsonb(OLD) - 'actor_id' THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    f"CREATE TRIGGER {TABLE}_rows BEFORE UPDATE OR DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION {TABLE}_refuse()",
    f"CREATE TRIGGER {TABLE}_table BEFORE TRUNCATE ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()",
]
POSTGRES_BACK = [
    f"DROP TRIGGER {TABLE}_rows ON {TABLE}",
    f"DROP TRIGGER {TABLE}_table ON {TABLE}",
    f"DROP FUNCTION {TABLE}_refuse()",
]


def sqlite(columns: list[str]) -> list[str]:
    same = " AND ".join(f'NEW."{name}" IS OLD."{name}"' for name in columns if name != "actor_id")
    raised = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    return [
        f"CREATE TRIGGER {TABLE}_no_update BEFORE UPDATE ON {TABLE} "
        f"WHEN NOT (NEW.actor_id IS NULL AND {same}) {raised}",
        f"CREATE TRIGGER {TABLE}_no_delete BEFORE DELETE ON {TABLE} {raised}",
    ]


SQLITE_BACK = [f"DROP TRIGGER {TABLE}_no_update", f"DROP TRIGGER {TABLE}_no_delete"]


def close(apps: Any, editor: Any) -> None:
    if editor.connection.vendor == "postgresql":
        statements = POSTGRES
    else:
        fields = apps.get_model("registry", "AuditEvent")._meta.concrete_fields
        statements = sqlite([field.column for field in fields])
    with editor.connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def open_again(apps: Any, editor: Any) -> None:
    with editor.connection.cursor() as cursor:
        for statement in POSTGRES_BACK if editor.connection.vendor == "postgresql" else SQLITE_BACK:
            cursor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("registry", "0007_row_security_for_secrets")]

    operations = [migrations.RunPython(close, open_again)]
