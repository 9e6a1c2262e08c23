from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmhub import bootstrap

ROOT = Path(__file__).resolve().parents[3]


LOCKS = [f"requirements{part}.txt" for part in ("", "-installer", "-dev", "-live")]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "llmhub/bootstrap.py"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_a_taken_port_is_one_sentence_and_a_failure(taken_port: int) -> None:
    done = run("run", PORT=str(taken_port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: Port {taken_port} on 127.0.0.1 cannot be used (Address already in use)")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("port", ["0", "65536", "eighty", "-1", "٨٠"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    done = run("run", PORT=port)
    assert (done.returncode, done.stderr) == (1, "error: PORT must be a number from 1 to 65535.\n")


def test_an_old_python_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    assert bootstrap.main(["run"]) == 1
    assert "LLM Hub needs Python 3.11 or newer" in capsys.readouterr().err


def test_a_python_without_venv_is_told_what_to_install(tmp_path: Path) -> None:
    # What Debian's python3 without python3-venv does: the import of ensurepip fails.
    (tmp_path / "ensurepip.py").write_text("raise ImportError('No module named ensurepip')")
    (tmp_path / "lock.txt").write_text("")
    done = run(
        *("install", "--lock", str(tmp_path / "lock.txt"), "--venv", str(tmp_path / "venv")),
        PYTHONPATH=str(tmp_path),
        LLMHUB_NO_UV="1",
    )
    assert done.returncode == 1
    assert "apt install python3" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_lock_is_installed_once_and_only_with_hashes(tmp_path: Path) -> None:
    lock, venv = tmp_path / "lock.txt", tmp_path / "venv"
    lock.write_text("# nothing\n")
    # Without pip of its own (that takes most of a minute on a busy machine): it borrows what installed the suite.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    pip = importlib.util.find_spec("pip")
    tool = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if pip and pip.origin:
        tool = {"LLMHUB_NO_UV": "1", "PYTHONPATH": str(Path(pip.origin).parents[1])}
    arguments = ("install", "--lock", str(lock), "--venv", str(venv))
    assert "Installing lock.txt" in run(*arguments, **tool).stdout
    assert run(*arguments, **tool).stdout == ""
    lock.write_text("six==1.17.0\n")
    refused = run(*arguments, **tool)
    assert refused.returncode == 1
    assert "Installing lock.txt failed" in refused.stderr


@pytest.mark.parametrize("content", ["not a Python", "#!/bin/sh\nexit 1\n", "#!/no/such/python\n"])
def test_a_half_made_virtualenv_counts_as_none(tmp_path: Path, content: str) -> None:
    python = tmp_path / "python"
    assert not bootstrap.works(python)
    python.write_text(content)
    assert not bootstrap.works(python)
    python.chmod(0o755)
    assert not bootstrap.works(python)


@pytest.mark.parametrize("name", LOCKS)
def test_locks_pin_every_package_by_hash_and_name_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "index-url" not in text
    assert "://" not in text
    entries = [entry for entry in text.replace("\\\n", " ").splitlines() if entry and not entry.startswith("#")]
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize(
    ("variables", "text", "named"),
    [
        ({}, "", False),
        ({}, "[global]\ntimeout = 60\n", False),
        ({}, "[global]\nindex-url = https://pypi.example.test/simple\n", True),
        ({"PIP_EXTRA_INDEX_URL": "https://pypi.example.test/simple"}, "", True),
    ],
)
def test_an_index_of_pips_own_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], text: str, named: bool
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "pip.conf").write_text(text)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    machine = Path("/etc/pip.conf")
    expected = named or (machine.is_file() and "index" in machine.read_text())
    assert bootstrap.pip_has_an_index() is expected
