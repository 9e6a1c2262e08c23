"""The migrations are complete and go both ways."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command


@pytest.mark.django_db
def test_no_model_waits_for_a_migration() -> None:
    out = io.StringIO()
    call_command("makemigrations", check_changes=True, dry_run=True, stdout=out)
    assert "No changes detected" in out.getvalue()


@pytest.mark.timeout(400)
def test_the_records_can_be_taken_away_and_made_again(tmp_path: Path) -> None:
    """In a process and a database of their own: nobody else's tables are gone meanwhile."""
    code = """
import django
django.setup()
from django.core.management import call_command
from django.db import connection
call_command("migrate", verbosity=0)
before = sorted(connection.introspection.table_names())
call_command("migrate", "registry", "zero", verbosity=0)
left = [name for name in connection.introspection.table_names() if name.startswith("registry_")]
assert left == [], left
call_command("migrate", verbosity=0)
assert sorted(connection.introspection.table_names()) == before
from registry.models import Provider
Provider.objects.create(slug="p", name="P", adapter="stub")
print("done")
"""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "llmhub.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'own.sqlite3'}",
        "LLMHUB_DATA_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "done"
