"""A real Valkey (or Redis) server for tests, on a socket file of its own; ended by its process id."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError


class Valkey:
    """One server process that can be stopped and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.program = shutil.which("valkey-server") or shutil.which("redis-server")
        if self.program is None:
            if os.environ.get("LLMHUB_REQUIRE_VALKEY"):
                pytest.fail("valkey-server and redis-server are not there, and LLMHUB_REQUIRE_VALKEY is set")
            pytest.skip("needs valkey-server or redis-server (apt install redis-server)")
        self.folder = folder
        self.url = f"unix://{folder / 'valkey.sock'}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self.program is not None
        options = ["--port", "0", "--unixsocket", "valkey.sock", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [self.program, *options, "--maxmemory", "64mb"], cwd=self.folder, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        with Redis.from_url(self.url) as client:
            while time.monotonic() < deadline:
                try:
                    client.ping()
                    return
                except (RedisError, OSError):
                    assert self.process.poll() is None, "the server ended"
                    time.sleep(0.02)
        raise AssertionError("the server did not answer")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
