from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from llmhub.databases import build_database


def test_no_url_is_sqlite_in_the_data_folder(tmp_path: Path) -> None:
    config = build_database("", default_file=tmp_path / "hub.sqlite3", pool_size=4)
    assert config["NAME"] == str(tmp_path / "hub.sqlite3")
    assert config["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_postgresql_by_socket_keeps_the_socket_and_gains_the_pool() -> None:
    config = build_database("postgresql://hub@/llm?host=/run/pg&sslmode=disable", default_file=Path("x"), pool_size=7)
    assert config["ENGINE"] == "django.db.backends.postgresql"
    assert config["OPTIONS"]["host"] == "/run/pg"
    assert config["OPTIONS"]["sslmode"] == "disable"
    assert config["OPTIONS"]["pool"]["max_size"] == 7
    assert config["CONN_MAX_AGE"] == 0


@pytest.mark.parametrize("url", ["mysql://u:planted@h/d", "nonsense", "postgresql://u:planted@h:port/d", "://"])
def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        build_database(url, default_file=Path("x"), pool_size=4)
    assert "DATABASE_URL" in str(caught.value)
    assert "planted" not in str(caught.value)


@pytest.mark.django_db
def test_sqlite_connections_run_in_wal_mode() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("SQLite only")
    with connection.cursor() as cursor:
        pragmas = {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
        pragmas["busy_timeout"] = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 20_000}
