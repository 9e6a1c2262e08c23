"""Starts llama.cpp's own server on loopback, once a run, from the virtualenv that `make test-live` compiled."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

START_WITHIN_S = 90.0
MODEL_NAME = "tiny-random"


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaServer:
    """Where the server listens; `base_url` ends in /v1, as its makers document it."""

    base_url: str
    model: str


@pytest.fixture(scope="session")
def live_python() -> str:
    python = os.environ.get("LLMHUB_LIVE_PYTHON", "")
    if not python:
        pytest.skip("LLMHUB_LIVE_PYTHON is not set: run `make test-live`, which compiles the server")
    return str(Path(python).absolute())


@pytest.fixture(scope="session")
def llama_server(live_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    folder = tmp_path_factory.mktemp("llama")
    model = folder / "tiny.gguf"
    writer = Path(__file__).with_name("tiny_gguf.py")
    subprocess.run([live_python, str(writer), str(model)], check=True, timeout=60)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [live_python, "-m", "llama_cpp.server", "--model", str(model), "--model_alias", MODEL_NAME]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "2048", "--n_threads", "1"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        server = LlamaServer(base_url=f"http://127.0.0.1:{port}/v1", model=MODEL_NAME)
        wait_until_it_answers(server, process, folder / "server.log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_it_answers(server: LlamaServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.base_url}/models", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"llama.cpp's server did not start:\n{log.read_text(errors='replace')[-3000:]}")
