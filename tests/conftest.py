"""Fixtures that every test may use: the four people of the visibility matrix, and the browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractUser


def make_user(username: str, *, superuser: bool = False) -> AbstractUser:
    make = get_user_model().objects.create_superuser if superuser else get_user_model().objects.create_user
    return make(username=username, email=f"{username}@example.test", password=f"{username}-password-1")


@pytest.fixture
def alice(db: None) -> AbstractUser:
    """The owner."""
    return make_user("alice")


@pytest.fixture
def bob(db: None) -> AbstractUser:
    """A colleague: shares a group with alice where a test says so."""
    return make_user("bob")


@pytest.fixture
def charlie(db: None) -> AbstractUser:
    """A stranger."""
    return make_user("charlie")


@pytest.fixture
def admin(db: None) -> AbstractUser:
    """The administrator."""
    return make_user("admin", superuser=True)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """A Chromium of the machine (LLMHUB_CHROMIUM names one). Missing: a skip by name, or a failure if required."""
    names = (os.environ.get("LLMHUB_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if name and (found := shutil.which(name))), "")
    if not path:
        reason = "no browser: install chromium, or name one in LLMHUB_CHROMIUM"
        if os.environ.get("LLMHUB_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(autouse=True)
def unread_snapshot() -> None:
    """Have this process read the registry anew: rows of an earlier test were rolled back without a word in the log."""
    from registry.catalog.snapshot import shared_snapshot

    snapshot = shared_snapshot()
    snapshot.sequence = -1
    snapshot.fresh_at = float("-inf")


@pytest.fixture(autouse=True, scope="session")
def flush_past_the_audit_trail() -> Iterator[None]:
    """Tests that commit are cleaned up by emptying every table, which the triggers of the audit trail refuse."""
    operations: Any = type(connection.ops)
    original = operations.sql_flush

    def sql_flush(self: Any, style: Any, tables: Any, **options: Any) -> list[str]:
        statements = original(self, style, tables, **options)
        if "registry_auditevent" not in tables:
            return statements
        if self.connection.vendor == "postgresql":
            switch = "ALTER TABLE registry_auditevent {} TRIGGER USER"
            return [switch.format("DISABLE"), *statements, switch.format("ENABLE")]
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
        return [*(f"DROP TRIGGER {name}" for name, _ in triggers), *statements, *(sql for _, sql in triggers)]

    operations.sql_flush = sql_flush
    yield
    operations.sql_flush = original
