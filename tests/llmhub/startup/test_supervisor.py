from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 30.0

# What the supervisor runs here in place of granian and the recorder: each writes its process id and waits for SIGTERM.
CHILD = """
import os, signal, sys, time
path, lifetime = sys.argv[1], float(sys.argv[2])
def leave(*_):
    with open(path + ".end", "w") as file: file.write(str(time.monotonic()))
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
with open(path, "a") as file: file.write(f"{os.getpid()}\\n")
time.sleep(lifetime)
"""
DRIVER = """
import sys
from llmhub.supervisor import Child, Supervisor
code, folder, lifetime, port = sys.argv[1:]
child = lambda name, lifetime: Child(name, [sys.executable, "-c", code, f"{folder}/{name}", lifetime])
sys.exit(Supervisor(
    server=child("server", lifetime), recorder=child("recorder", "600"),
    url="http://127.0.0.1/", address=("127.0.0.1", int(port)), drain_s=5,
).run())
"""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child that nobody waited for is over too.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


class Run:
    """A supervisor process with its two children up; a listening socket stands for the server's."""

    def __init__(self, folder: Path, lifetime_s: float) -> None:
        self.server_file, self.recorder_file = folder / "server", folder / "recorder"
        self.listening = socket.create_server(("127.0.0.1", 0))
        arguments = [CHILD, str(folder), str(lifetime_s), str(self.listening.getsockname()[1])]
        self.process = subprocess.Popen([sys.executable, "-c", DRIVER, *arguments], cwd=ROOT)
        wait_until(lambda: bool(pids(self.server_file) and pids(self.recorder_file)))

    def children(self) -> list[int]:
        return pids(self.server_file) + pids(self.recorder_file)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(lifetime_s: float = 600) -> Run:
        runs.append(Run(tmp_path, lifetime_s))
        return runs[-1]

    yield make
    for run in runs:
        run.listening.close()
        run.process.kill()
        run.process.wait()
        for pid in run.children():
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.faults
def test_a_killed_recorder_comes_back_and_the_server_stays(start: Callable[..., Run]) -> None:
    run = start()
    first = pids(run.recorder_file)[0]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(pids(run.recorder_file)) == 2)
    assert pids(run.recorder_file)[1] != first
    assert len(pids(run.server_file)) == 1


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_both_and_the_recorder_last(start: Callable[..., Run], number: signal.Signals) -> None:
    run = start()
    run.process.send_signal(number)
    assert run.process.wait(PATIENCE_S) == 0
    assert not any(alive(pid) for pid in run.children())
    ends = [float(path.with_suffix(".end").read_text()) for path in (run.server_file, run.recorder_file)]
    assert ends == sorted(ends)


@pytest.mark.faults
def test_a_killed_supervisor_leaves_no_orphan(start: Callable[..., Run]) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child that its parent died")
    run = start()
    run.process.kill()
    wait_until(lambda: not any(alive(pid) for pid in run.children()))


def test_a_server_that_ends_by_itself_ends_the_recorder_with_a_failure(start: Callable[..., Run]) -> None:
    run = start(lifetime_s=5)
    assert run.process.wait(PATIENCE_S) == 1
    assert not any(alive(pid) for pid in run.children())
