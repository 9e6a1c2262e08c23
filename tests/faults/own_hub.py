"""A whole hub as `manage.py serve` runs it, on a PostgreSQL of its own that can be stopped and frozen."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.gateway.ports import free_port
from tests.postgres import start_server

ROOT = Path(__file__).resolve().parents[2]


class OwnPostgres:
    """A server for one run. `freeze` stops all its processes where they are; `stop` ends them without a goodbye."""

    def __init__(self) -> None:
        self.url, self._server = start_server()

    def _pids(self) -> list[int]:
        postmaster = int(self._server.get_pid())
        return [postmaster, *children_of(postmaster)]

    def stop(self) -> None:
        """As `pg_ctl -m immediate` does; answers when the server is gone."""
        pid = int(self._server.get_pid())
        os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + 60
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def freeze(self) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]  # psycopg wants a literal


class OwnHub:
    """`manage.py serve` with `workers` on a free port. `log` holds what all its processes wrote."""

    def __init__(self, folder: Path, database_url: str, *, workers: int = 2, **environment: str) -> None:
        self.folder = folder
        self.log = folder / "hub.log"
        self.journal = folder / "journal"
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "LLMHUB_", "COV"))}
        self.environment = kept | {
            "DJANGO_SETTINGS_MODULE": "llmhub.settings",
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(48),
            "DATABASE_URL": database_url,
            "LLMHUB_ENCRYPTION_KEYS": "faults:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "LLMHUB_DATA_DIR": str(folder),
            "LLMHUB_WORKERS": str(workers),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *command: str) -> str:
        """A command of the hub's; its standard output."""
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "manage.py", "serve", "--port", str(self.port)]
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.base_url}/v1/nothing", timeout=5, trust_env=False).status_code == 404:
                    return
            time.sleep(0.2)
        raise AssertionError(f"the hub did not start: {self.log.read_text()[-4000:]}")

    def stop(self, within_s: float = 60) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(within_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def _named(self, pid: int, name: bytes) -> bool:
        with contextlib.suppress(OSError):
            return name in Path(f"/proc/{pid}/cmdline").read_bytes()
        return False

    @property
    def recorder_pids(self) -> list[int]:
        assert self.process is not None
        return [pid for pid in children_of(self.process.pid) if self._named(pid, b"run_recorder")]

    @property
    def worker_pids(self) -> list[int]:
        assert self.process is not None
        servers = [pid for pid in children_of(self.process.pid) if self._named(pid, b"granian")]
        found = [pid for server in servers for pid in children_of(server)]
        return [pid for pid in found if not self._named(pid, b"resource_tracker")]

    def flush(self) -> str:
        return self.run("manage.py", "flush_usage")


def children_of(pid: int) -> list[int]:
    """Direct children, of all threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.extend(map(int, task.read_text().split()))
    return found


@contextlib.contextmanager
def running_hub(folder: Path, upstream_url: str, **options: Any) -> Iterator[tuple[OwnHub, OwnPostgres, str]]:
    """A prepared hub on a database of its own, and a user's token; all ends with the block."""
    postgres = OwnPostgres()
    hub = OwnHub(folder, postgres.url, **options)
    token = hub.run("-m", "tests.faults.prepare", upstream_url).splitlines()[-1]
    try:
        hub.start()
        yield hub, postgres, token
    finally:
        hub.stop()
