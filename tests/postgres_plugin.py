"""Runs the suite on a real PostgreSQL: `python -m pytest -p tests.postgres_plugin`. Importing it starts the server.

A plugin and not a fixture, because pytest-django reads the settings before any conftest is loaded. An address in
LLMHUB_TEST_DATABASE_URL is used as it is, and nothing is started.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from tests.postgres import start_server

if not os.environ.get("LLMHUB_TEST_DATABASE_URL"):
    os.environ["LLMHUB_TEST_DATABASE_URL"] = start_server()[0]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """A session that some test's thread forgot may not fail whichever test is last: it is ended, and told."""
    from django.db.backends.postgresql.creation import DatabaseCreation

    drop = DatabaseCreation._destroy_test_db

    def end_sessions_first(self: Any, name: str, verbosity: int) -> None:
        self.connection.close_pool()
        with self._nodb_cursor() as cursor:
            cursor.execute(
                "SELECT pid, left(query, 200), pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
            for pid, query, _ in cursor.fetchall():
                print(f"A connection to {name} was left open ({pid}); it last ran: {query}", file=sys.stderr)
        drop(self, name, verbosity)

    DatabaseCreation._destroy_test_db = end_sessions_first
