"""The journal writes whole lines, or says that it can't; a full disk, a fork and a removed folder included."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from registry.usage import journal as journal_module
from registry.usage.journal import Journal, JournalError, check_writable, journal_of
from registry.usage.ledger import TurnText
from registry.usage.lines import CorruptLine, UnknownVersion, decode, encode_settle
from tests.usage.conftest import a_call, a_settlement, a_try, record_call, wait_until


def lines_in(folder: Path) -> list[dict]:
    files = sorted(folder.glob("*.jsonl"), key=lambda path: int(path.name.split(".")[1]))
    return [orjson.loads(line) for path in files for line in path.read_bytes().splitlines()]


def test_only_its_user_may_read_a_journal(journal: Journal, folder: Path) -> None:
    record_call(journal)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_nothing_appears_before_the_first_line(journal: Journal, folder: Path) -> None:
    assert not folder.exists()


def test_each_line_is_in_the_file_when_the_call_returns(journal: Journal, folder: Path) -> None:
    call = a_call()
    journal.open(call, a_try())
    assert [line["k"] for line in lines_in(folder)] == ["open"]
    journal.settle(call, a_settlement())
    assert [line["k"] for line in lines_in(folder)] == ["open", "settle"]


def test_a_full_file_is_followed_by_the_next(folder: Path) -> None:
    journal = Journal(folder, max_file_bytes=4000)
    for _ in range(20):
        record_call(journal)
    assert len(list(folder.glob("*.jsonl"))) > 3
    assert all(path.stat().st_size <= 4000 for path in folder.glob("*.jsonl"))
    assert len(lines_in(folder)) == 40
    journal.release()


def test_an_idle_file_is_ended_so_that_the_recorder_can_delete_it(folder: Path) -> None:
    journal = Journal(folder, idle_s=0.05)
    record_call(journal)
    wait_until(lambda: len(list(folder.glob("*.jsonl"))) == 2)
    journal.release()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # Python 3.12 warns of any such fork
def test_a_forked_child_writes_files_of_its_own(journal: Journal, folder: Path) -> None:
    record_call(journal)
    pid = os.fork()
    if pid == 0:
        try:
            record_call(journal)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    record_call(journal)
    owners = {path.name.split(".")[0]: path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl")}
    assert sorted(owners.values()) == [2, 4]
    assert {int(owner.split("-")[1]) for owner in owners} == {os.getpid(), pid}


def test_one_journal_a_process_and_folder(tmp_path: Path) -> None:
    settings = SimpleNamespace(LLMHUB_JOURNAL_DIR=tmp_path / "j")
    assert journal_of(settings) is journal_of(settings)


def test_files_that_somebody_removed_are_started_anew(journal: Journal, folder: Path, caplog) -> None:
    record_call(journal)
    for path in folder.iterdir():
        path.unlink()
    wait_until(lambda: "removed under this process" in caplog.text)
    record_call(journal)
    assert len(lines_in(folder)) == 2


def test_a_folder_that_cannot_be_made_refuses_the_call_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    journal = Journal(tmp_path / "file" / "journal")
    with pytest.raises(JournalError, match="usage journal can't be written: Not a directory"):
        journal.open(a_call(), a_try())
    assert "Not a directory" in check_writable(tmp_path / "file" / "journal")
    assert check_writable(tmp_path / "fine") == ""
    assert list((tmp_path / "fine").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("no permission to mount a small disk; the file size limit's test covers the same path")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_refuses_new_calls_and_loses_no_settlement(small_disk: Path) -> None:
    journal = Journal(small_disk / "journal")
    ballast = small_disk / "ballast"
    calls = [a_call(f"call{number}") for number in range(20)]
    for call in calls:
        journal.open(call, a_try())
    ballast.touch()
    with pytest.raises(OSError, match="No space left"), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    refused = 0
    for _ in range(50):
        try:
            journal.open(a_call("late"), a_try())
        except JournalError as error:
            assert "No space left" in str(error) or "only part of a line" in str(error)
            refused += 1
    assert refused > 30  # the last page of the file still took some
    for call in calls:
        journal.settle(call, a_settlement())
    assert journal.waiting == 20
    ballast.unlink()
    wait_until(lambda: journal.waiting == 0)
    record_call(journal)
    told = lines_in(small_disk / "journal")
    assert [line["call"]["request_id"] for line in told if line["k"] == "settle"][:20] == [c.request_id for c in calls]
    assert all(line["v"] == 1 for line in told)
    journal.release()


def test_a_file_size_limit_refuses_new_calls_and_leaves_whole_lines(tmp_path: Path) -> None:
    """The same without a mount: the kernel cuts the write short, and the part is taken back."""
    script = """
import resource, signal, sys
from pathlib import Path
from registry.usage.journal import Journal, JournalError
from tests.usage.conftest import a_call, a_settlement, a_try
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
journal, opened = Journal(Path(sys.argv[1])), []
try:
    while True:
        call = a_call()
        journal.open(call, a_try())
        opened.append(call)
except JournalError:
    pass
for call in opened:
    journal.settle(call, a_settlement())
assert journal.waiting == len(opened), journal.waiting
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.settle(opened[0], a_settlement())
print(len(opened), journal.waiting)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    environment["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    preamble = "import django; django.setup()\n"
    ran = subprocess.run(
        [sys.executable, "-c", preamble + script, str(tmp_path / "journal")],
        capture_output=True, text=True, env=environment, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    opened, waiting = map(int, ran.stdout.split())
    assert opened > 3 and waiting == 0
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert [line["k"] for line in lines_in(tmp_path / "journal")] == ["open"] * opened + ["settle"] * (opened + 1)


def test_settlements_that_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(journal_module, "MAX_WAITING_BYTES", 3000)
    journal = Journal(tmp_path / "file" / "journal")
    with pytest.raises(JournalError, match="too many lines wait"):
        for _ in range(10):
            journal.settle(a_call(), a_settlement())
    assert 1 <= journal.waiting <= 3
    journal.release()


def test_a_turns_text_survives_whatever_it_holds() -> None:
    turn = TurnText(
        conversation_id=7,
        user_text="lone \ud83d surrogate",
        reply_text="line\nbreak \u2028 \x00",
        user_parts=({"type": "image", "data": b"\x00\x01", "huge": 10**40},),
    )
    raw = encode_settle(a_call(), a_settlement(turn=turn))
    assert raw.endswith(b"\n") and raw.count(b"\n") == 1
    said = decode(raw[:-1]).settlement["turn"]
    assert (said["user_text"], said["reply_text"]) == ("lone ? surrogate", "line\nbreak \u2028 \x00")
    assert said["user_parts"] == [{"type": "image", "data": "<2 bytes>", "huge": 2**63 - 1}]


def test_the_providers_raw_usage_stays_out_of_the_journal() -> None:
    from adapters.types import Usage

    raw = encode_settle(a_call(), a_settlement(usage=Usage(input_tokens=1, raw={"anything": "private"})))
    assert b"private" not in raw


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"null", b"[]", b"{}", b'{"v":"1"}', b'{"v":1,"k":"open"}', b'{"v":1,"k":"x","call":{}}',
        b'{"v":1,"k":"open","call":{"request_id":""}}', b'{"v":1,"k":"open","call":{"request_id":"a"}}',
        b'{"v":1,"k":"open","call":{"request_id":"' + b"a" * 65 + b'","started_at_ms":1}}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_line_is_called_corrupt(raw: bytes) -> None:
    with pytest.raises(CorruptLine):
        decode(raw)


def test_a_later_version_is_told_apart_from_garbage() -> None:
    with pytest.raises(UnknownVersion):
        decode(b'{"v":2}')
