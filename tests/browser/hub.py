"""A whole hub in a folder of its own, for browser tests and screenshots: prepared, served on loopback, ended by id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
USERNAME, PASSWORD = "ada", "correct-horse-9"


def find_chromium() -> str | None:
    """LLMHUB_CHROMIUM, else the browser that the system has."""
    named = os.environ.get("LLMHUB_CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def environment(data_dir: Path, *, administrator: bool = True) -> dict[str, str]:
    """A bare one: nothing of the developer's settings reaches the hub. Loopback is open, where the upstreams are."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    first = {
        "DJANGO_SUPERUSER_USERNAME": USERNAME,
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        "DJANGO_SUPERUSER_EMAIL": "ada@example.test",
    }
    return {
        **kept,
        **(first if administrator else {}),
        "LLMHUB_DATA_DIR": str(data_dir),
        "LLMHUB_STATIC_ROOT": str(data_dir / "static"),
        "LLMHUB_PRIVATE_ENDPOINTS": "127.0.0.1",
    }


def manage(data_dir: Path, *arguments: str, stdin: str | None = None, administrator: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(data_dir, administrator=administrator),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def serving(data_dir: Path, *, administrator: bool = True) -> Iterator[str]:
    """The base URL of a hub over `data_dir`, which is prepared first; with Ada as its administrator, or nobody yet."""
    manage(data_dir, "prepare", administrator=administrator)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    hub = subprocess.Popen(
        command, cwd=ROOT, env=environment(data_dir, administrator=administrator), stdout=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 180
        while not answers(f"{url}/readyz"):
            assert hub.poll() is None, "the hub ended while it started"
            assert time.monotonic() < deadline, "the hub did not answer in time"
            time.sleep(0.2)
        yield url
    finally:
        hub.terminate()
        try:
            hub.wait(30)
        except subprocess.TimeoutExpired:
            hub.kill()
            hub.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
