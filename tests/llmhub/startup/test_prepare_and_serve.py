from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def environment(data_dir: Path, **extra: str) -> dict[str, str]:
    """A bare environment: nothing of the suite's own settings reaches the process."""
    kept = {
        name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "COVERAGE_PROCESS_START"}
    }
    return {**kept, "LLMHUB_DATA_DIR": str(data_dir), "LLMHUB_STATIC_ROOT": str(data_dir / "static"), **extra}


def manage(data_dir: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(data_dir, **extra),
        capture_output=True,
        text=True,
        timeout=110,
    )


def prepare(data_dir: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return manage(data_dir, "prepare", "--no-static", "--port", "8123", **extra)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("hub") / "data"
    done = prepare(data_dir)
    assert done.returncode == 0, done.stderr
    return data_dir


def test_first_start_makes_private_files(prepared: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in (prepared, *prepared.iterdir()) if path.is_file()}
    assert set(modes.values()) == {0o600}
    assert {"secret.key", "encryption.keys", "llmhub.sqlite3", "setup-link"} <= set(modes)
    assert prepared.stat().st_mode & 0o777 == 0o700


def test_a_second_start_keeps_the_keys_and_prints_another_link(prepared: Path) -> None:
    before = [(prepared / name).read_text() for name in ("secret.key", "encryption.keys")]
    links = [re.findall(r"http://127\.0\.0\.1:8123/setup/[\w-]{43}/", prepare(prepared).stdout) for _ in range(2)]
    assert [(prepared / name).read_text() for name in ("secret.key", "encryption.keys")] == before
    assert len(links[0]) == len(links[1]) == 1
    assert links[0] != links[1]
    assert links[1][0].split("/")[-2] not in (prepared / "setup-link").read_text()


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"DJANGO_SUPERUSER_USERNAME": "root"}, "DJANGO_SUPERUSER_PASSWORD must be set too"),
        ({"DJANGO_SUPERUSER_USERNAME": "root", "DJANGO_SUPERUSER_PASSWORD": "secret1"}, "too short"),
    ],
)
def test_an_administrator_that_cannot_be_made_stops_the_start(
    prepared: Path, variables: dict[str, str], reason: str
) -> None:
    done = prepare(prepared, **variables)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret1" not in done.stderr


def test_the_administrator_of_the_environment_is_made_once(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "data")
    variables = {
        "DJANGO_SUPERUSER_USERNAME": "root",
        "DJANGO_SUPERUSER_PASSWORD": "a-long-enough-one",
        "DJANGO_SUPERUSER_EMAIL": "root@example.test",
    }
    first, second = (prepare(tmp_path / "data", **variables) for _ in range(2))
    assert "Made the administrator root" in first.stdout
    assert (second.returncode, "administrator" in second.stdout) == (0, False)
    assert "/setup/" not in first.stdout + second.stdout


def test_a_bad_encryption_key_stops_the_start_by_name_and_not_by_value(prepared: Path) -> None:
    value = "k1:c2hvcnQtcGxhbnRlZA=="
    done = manage(prepared, "serve", "--port", str(free_port()), LLMHUB_ENCRYPTION_KEYS=value)
    assert done.returncode == 1
    assert "LLMHUB_ENCRYPTION_KEYS" in done.stderr
    assert value not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_variable_is_one_line(prepared: Path) -> None:
    done = manage(prepared, "serve", LLMHUB_WORKERS="many")
    assert (done.returncode, done.stderr) == (1, "error: LLMHUB_WORKERS must be a whole number, from 1 to 64.\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def processes_of(session_of: int) -> list[str]:
    """The command lines of every process that descends from one process id, itself included."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (ValueError, OSError):
            continue
    family = {session_of}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return sorted(str(pid) for pid in family if pid in parents)


@pytest.mark.faults
def test_the_hub_serves_and_ends_whole(prepared: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    hub = subprocess.Popen(
        [sys.executable, "manage.py", "prepare", "--no-static", "--serve", "--port", str(port)],
        cwd=ROOT,
        env=environment(prepared),
    )
    try:
        deadline = time.monotonic() + 60
        while status_of(f"{url}/healthz") != 200:
            assert hub.poll() is None
            assert time.monotonic() < deadline, "the hub did not answer"
            time.sleep(0.1)
        assert status_of(f"{url}/readyz") == 200
        assert status_of(f"{url}/metrics") == 200
        assert status_of(f"{url}/no/such/page") == 404

        second = manage(prepared, "serve", "--port", str(port))
        assert second.returncode == 1
        assert f"Port {port} on 127.0.0.1 cannot be used" in second.stderr

        family = processes_of(hub.pid)
        assert len(family) >= 3  # supervisor, granian, worker
        hub.send_signal(signal.SIGTERM)
        assert hub.wait(30) == 0
        assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []
    finally:
        if hub.poll() is None:
            hub.kill()
            hub.wait()
