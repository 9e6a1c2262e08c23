"""Searches the files of a SQLite database that is in use, by another process.

Never open such a file in a process that has it open through SQLite: closing it drops the process's POSIX locks, the
next process to leave takes away the write-ahead log as if it were alone, and nobody else sees what is written after it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from django.db import connection


def sqlite_files() -> list[Path]:
    """The database with its write-ahead log and shared memory; none of them with another kind of database."""
    if connection.vendor != "sqlite":
        return []
    database = Path(connection.settings_dict["NAME"])
    return list(database.parent.glob(f"{database.name}*"))


def files_that_hold(texts: Iterable[str], files: list[Path]) -> list[str]:
    """Those of `files` with one of `texts` in them, byte by byte; a file may vanish meanwhile."""
    wanted = [part for text in texts for part in ("-e", text)]
    command = ["grep", "-laF", *wanted, "--", *map(str, files)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode in (0, 1) or not all(file.exists() for file in files), found.stderr
    return found.stdout.splitlines()
