"""On PostgreSQL, have the database itself do on deletion what the models say, for the rows that the recorder writes.

Django clears what points to a row and then deletes the row; what another transaction commits in between would make the
deletion fail. The tables stay as they are, so models and their state do not change; SQLite has one writer at a time.
"""

from django.db import migrations, models

WRITTEN = ("usagerecord", "usageattempt", "message")


def _foreign_keys(apps, schema_editor):
    """Each foreign key of the tables that the recorder writes: table, column, target table and column, on_delete."""
    for name in WRITTEN:
        model = apps.get_model("registry", name)
        for field in model._meta.concrete_fields:
            if isinstance(field, models.ForeignKey):
                target = field.target_field
                yield model, field.column, target.model._meta.db_table, target.column, field.remote_field.on_delete


def _replace(apps, schema_editor, actions):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    quote = schema_editor.quote_name
    for model, column, to_table, to_column, on_delete in _foreign_keys(apps, schema_editor):
        for name in schema_editor._constraint_names(model, [column], foreign_key=True):
            schema_editor.execute(f"ALTER TABLE {quote(model._meta.db_table)} DROP CONSTRAINT {quote(name)}")
            schema_editor.execute(
                f"ALTER TABLE {quote(model._meta.db_table)} ADD CONSTRAINT {quote(name)} FOREIGN KEY ({quote(column)}) "
                f"REFERENCES {quote(to_table)} ({quote(to_column)}) {actions.get(on_delete, '')} "
                "DEFERRABLE INITIALLY DEFERRED"
            )


def let_the_database(apps, schema_editor):
    _replace(apps, schema_editor, {models.CASCADE: "ON DELETE CASCADE", models.SET_NULL: "ON DELETE SET NULL"})


def let_django(apps, schema_editor):
    _replace(apps, schema_editor, {})


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_records")]

    operations = [migrations.RunPython(let_the_database, let_django)]
