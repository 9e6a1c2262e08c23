"""Turns DATABASE_URL into Django's DATABASES entry: SQLite that keeps its writes, PostgreSQL with the native pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

ENGINES = {"django.db.backends.sqlite3", "django.db.backends.postgresql"}
SQLITE_BUSY_TIMEOUT_S = 20


def build_database(url: str, *, default_file: Path, pool_size: int) -> dict[str, Any]:
    """The `default` entry. An empty url means SQLite at `default_file`; options in the url's query win over ours."""
    if not url:
        return _sqlite({"ENGINE": "django.db.backends.sqlite3", "NAME": str(default_file)})
    try:
        # Without the cast: its TypedDict marks every key as optional with a value type of its own.
        config: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, KeyError, TypeError):
        config = {}
    # The message keeps the url to itself: it holds a password.
    if config.get("ENGINE") not in ENGINES:
        raise ImproperlyConfigured("DATABASE_URL must start with sqlite:// or postgresql:// and be a well-formed URL.")
    return _sqlite(config) if "sqlite3" in config["ENGINE"] else _postgresql(config, pool_size)


def _sqlite(config: dict[str, Any]) -> dict[str, Any]:
    """IMMEDIATE, because a deferred read-then-write transaction fails at once with "database is locked" whatever the
    timeout; WAL, so that readers never wait for the writer; NORMAL is durable against a killed process under WAL."""
    options = {
        "transaction_mode": "IMMEDIATE",
        "timeout": SQLITE_BUSY_TIMEOUT_S,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        **config.get("OPTIONS", {}),
    }
    return {**config, "OPTIONS": options, "CONN_MAX_AGE": 0, "ATOMIC_REQUESTS": False}


def _postgresql(config: dict[str, Any], pool_size: int) -> dict[str, Any]:
    """The pool replaces persistent connections (CONN_MAX_AGE must be 0 with it); one pool a process.

    `connect_timeout` bounds a dead host; `pool.timeout` bounds the wait for a free connection.
    """
    options = {
        "connect_timeout": 5,
        "application_name": "llmhub",
        **config.get("OPTIONS", {}),
        "pool": {"min_size": 1, "max_size": pool_size, "timeout": 10, "max_idle": 300},
    }
    return {
        **config,
        "OPTIONS": options,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        "DISABLE_SERVER_SIDE_CURSORS": False,
    }
