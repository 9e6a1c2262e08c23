"""Runs the web server and the recorder as two children and ends both together. Standard library only, to stay small.

`manage.py serve` checks the configuration and then becomes this process.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from types import FrameType

TICK_S = 0.1
RECORDER_DRAIN_S = 10.0
RESTART_AFTER_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# A child that ran this long is well again: the next failure starts at the shortest wait.
STEADY_S = 30.0
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Child:
    """One supervised process and when it may be started again."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    restart_at: float = 0.0

    def start(self) -> None:
        """In a session of its own, so that Ctrl-C reaches only the supervisor, which then ends things in order."""
        self.process = subprocess.Popen(
            self.command,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self.started_at = time.monotonic()

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, within_s: float) -> None:
        """SIGTERM, wait, SIGKILL. Returns at most about a second after `within_s`."""
        if self.process is None or not self.running():
            return
        self.process.terminate()
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            say(f"The {self.name} did not end within {within_s:g} s and is killed")
            self.process.kill()
            self.process.wait()


@dataclass(slots=True)
class Supervisor:
    """Ends when the server ends or a signal says so; starts a dead recorder again, later each time it dies young."""

    server: Child
    recorder: Child | None
    url: str
    address: tuple[str, int]
    drain_s: float
    discovery: Child | None = None
    stopping: bool = field(default=False)
    announced: bool = field(default=False)

    def run(self) -> int:
        """The process's exit code: 0 after a signal, 1 when the server ended by itself."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.on_signal)
        self.server.start()
        while not self.stopping and self.server.running():
            self.announce()
            # The others wait for the server, so that it has the processor to itself while it loads.
            for child in self.helpers() if self.announced else ():
                self.keep(child)
            time.sleep(TICK_S)
        code = 0 if self.stopping else 1
        if code:
            say("The server ended by itself")
        self.server.stop(self.drain_s + 5)
        if self.discovery:
            self.discovery.stop(RECORDER_DRAIN_S)
        if self.recorder:
            # Last, so that it still moves what the server's last requests wrote.
            self.recorder.stop(RECORDER_DRAIN_S)
        return code

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def announce(self) -> None:
        """Print the address once the server accepts connections."""
        if self.announced:
            return
        try:
            socket.create_connection(self.address, timeout=TICK_S).close()
        except OSError:
            return
        self.announced = True
        say(f"LLM Hub serves on {self.url} (Ctrl-C ends it)")

    def helpers(self) -> list[Child]:
        return [child for child in (self.recorder, self.discovery) if child is not None]

    def keep(self, child: Child) -> None:
        """Start a helper, and a dead one again, later each time that it dies young."""
        now = time.monotonic()
        if child.process is None:
            child.start()
        if child.running():
            return
        if child.restart_at <= child.started_at:
            child.failures = 1 if now - child.started_at > STEADY_S else child.failures + 1
            wait_s = RESTART_AFTER_S[min(child.failures, len(RESTART_AFTER_S)) - 1]
            child.restart_at = now + wait_s
            code = child.process.returncode if child.process else None
            say(f"The {child.name} ended (code {code}) and starts again in {wait_s:g} s")
        elif now >= child.restart_at:
            child.start()


def allow_open_files() -> None:
    """As many as the system lets us: a thousand open streams are two thousand sockets, and 1024 is a common default."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def die_with_parent() -> None:
    """On Linux this process gets SIGTERM when its parent dies, even by SIGKILL, so a killed hub leaves no orphan."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="supervisor", description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--drain-s", type=int, required=True)
    parser.add_argument("--log-level", default="warning")
    parser.add_argument("--recorder", action="store_true")
    parser.add_argument("--discover-every-h", type=int, default=0)
    parser.add_argument("--discover-apply", action="store_true")
    options = parser.parse_args()
    os.environ["LLMHUB_SUPERVISED"] = "1"
    allow_open_files()
    shown_host = f"[{options.host}]" if ":" in options.host else options.host
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104 (a lookup, no bind)
    recorder = Child("recorder", [sys.executable, "manage.py", "run_recorder"]) if options.recorder else None
    return Supervisor(
        server=Child("server", granian_command(options)),
        recorder=recorder,
        url=f"http://{shown_host}:{options.port}/",
        address=(reachable, options.port),
        drain_s=options.drain_s,
        discovery=Child("discovery", discovery_command(options)) if options.discover_every_h else None,
    ).run()


def discovery_command(options: argparse.Namespace) -> list[str]:
    apply = ["--apply"] if options.discover_apply else []
    return [sys.executable, "manage.py", "discover_models", "--every", str(options.discover_every_h), *apply]


def granian_command(options: argparse.Namespace) -> list[str]:
    """asginl: Django has no lifespan. One runtime thread a worker: the Python side is one event loop anyway."""
    return [
        *(sys.executable, "-m", "granian", "llmhub.asgi:application"),
        *("--interface", "asginl"),
        *("--host", options.host),
        *("--port", str(options.port)),
        *("--workers", str(options.workers)),
        *("--loop", "uvloop"),
        *("--http", "1"),
        "--no-ws",
        *("--log-level", options.log_level),
        "--no-access-log",
        "--respawn-failed-workers",
        *("--workers-kill-timeout", str(options.drain_s)),
    ]


if __name__ == "__main__":
    sys.exit(main())
