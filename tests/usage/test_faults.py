"""Kills, outages and rivals: real processes against a real database, and then the books must balance."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Sum

from registry.models import UsageAttempt, UsageRecord, UsageRollup
from registry.usage.journal import Journal
from registry.usage.recorder import Recorder
from tests.usage.conftest import ROOT, a_call, a_settlement, a_try, process_environment, record_call, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.timeout(300)]

MANAGE = [sys.executable, str(ROOT / "manage.py")]


@contextmanager
def process(command: list[str], folder: Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone when the block ends."""
    running = subprocess.Popen(command, env=process_environment(folder), cwd=ROOT, **options)  # type: ignore[call-overload]  # options of Popen as they came
    try:
        yield running
    finally:
        running.kill()
        running.wait(10)


def recorder(folder: Path, *arguments: str) -> list[str]:
    return [*MANAGE, "run_recorder", *arguments]


def writer(folder: Path, name: str, per_second: float) -> list[str]:
    return [sys.executable, "-m", "tests.usage.writer", str(folder), name, str(per_second)]


def assert_books_balance(opened: set[str], settled: set[str]) -> None:
    """Every call once, settled as its writer was told, each counted once; and what was not settled is abandoned."""
    rows = dict(UsageRecord.objects.values_list("request_id", "state"))
    # A writer may be killed between a line and its word of it: one more row, or one more settlement, each.
    assert opened <= set(rows)
    assert {name for name, state in rows.items() if state == "ok"} >= settled
    assert "running" not in rows.values()
    assert {state for name, state in rows.items() if name in opened - settled} <= {"abandoned", "ok"}
    assert UsageAttempt.objects.count() == len(rows)
    sums = UsageRollup.objects.aggregate(calls=Sum("calls"), errors=Sum("errors"), tokens=Sum("input_tokens"))
    states = list(rows.values())
    assert sums == {
        "calls": len(rows),
        "errors": states.count("abandoned"),
        "tokens": 1000 * states.count("ok"),
    }


def words_of(output: Path) -> tuple[set[str], set[str]]:
    opened, settled = set(), set()
    for line in output.read_text().splitlines(keepends=True):
        word, _, name = line.rstrip("\n").partition(" ")
        if line.endswith("\n"):
            (opened if word == "opened" else settled).add(name)
    return opened, settled


def test_killed_writers_and_killed_recorders_lose_and_double_nothing(folder: Path, tmp_path: Path) -> None:
    """20 kills, each at a random moment: five recorders and fifteen writers."""
    chance = random.Random(20)
    outputs = [tmp_path / f"{turn}-{number}" for turn in range(5) for number in range(3)]
    for turn in range(5):
        with ExitStack() as stack:
            recording = stack.enter_context(process(recorder(folder, "--nice=0"), folder))
            for output in outputs[turn * 3 : turn * 3 + 3]:
                file = stack.enter_context(output.open("wb"))
                stack.enter_context(process(writer(folder, output.name, 100), folder, stdout=file))
            before = UsageRecord.objects.count()
            wait_until(lambda before=before: UsageRecord.objects.count() > before, within_s=90)
            time.sleep(chance.uniform(0, 0.5))  # the moment of death, not a wait for anything
            recording.kill()
            recording.wait(10)
            time.sleep(chance.uniform(0, 0.1))
    with Recorder(folder) as last:
        last.drain()
    words = [words_of(output) for output in outputs]
    opened, settled = set.union(*(one for one, _ in words)), set.union(*(one for _, one in words))
    assert len(settled) > 100
    assert_books_balance(opened, settled)
    left = {path.name for path in folder.iterdir() if path.suffix != ".bad"}
    assert left <= {"recorder.lock", "recorder.status", ".recorder.status"}  # the last: killed while it told


def test_a_settled_call_is_in_the_database_within_a_second(journal: Journal, folder: Path) -> None:
    with process(recorder(folder), folder):
        record_call(journal, a_call("first"))
        wait_until(lambda: UsageRecord.objects.filter(request_id="first", state="ok").exists(), within_s=60)
        delays = []
        for number in range(10):
            record_call(journal, a_call(f"call{number}"))
            started = time.monotonic()
            wait_until(lambda number=number: UsageRecord.objects.filter(request_id=f"call{number}").exists())
            delays.append(time.monotonic() - started)
    assert sorted(delays)[5] < 1.0, delays


def test_a_killed_writers_open_call_is_abandoned_while_the_recorder_runs(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "words"
    with process(recorder(folder), folder), output.open("wb") as file:
        with process(writer(folder, "victim", 50), folder, stdout=file):
            wait_until(lambda: UsageRecord.objects.filter(request_id="victim-9").exists(), within_s=60)
        wait_until(lambda: not UsageRecord.objects.filter(state="running").exists(), within_s=60)
        assert UsageRecord.objects.get(request_id="victim-9").state == "abandoned"


def test_term_ends_the_recorder_cleanly(journal: Journal, folder: Path) -> None:
    record_call(journal)
    with process(recorder(folder), folder) as running:
        wait_until(lambda: UsageRecord.objects.count() == 1, within_s=60)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0  # half a second where there is a processor for it


def test_the_recorder_ends_with_its_parent(folder: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(300)"]
    with process(sleeper, folder) as parent, process(recorder(folder, f"--parent-pid={parent.pid}"), folder) as running:
        wait_until(lambda: (folder / "recorder.lock").exists(), within_s=60)
        assert running.poll() is None
        parent.kill()
        parent.wait(10)
        assert running.wait(20) == 0


def test_a_second_recorder_waits_for_the_first(journal: Journal, folder: Path, tmp_path: Path) -> None:
    record_call(journal)
    said = tmp_path / "stderr"
    with process(recorder(folder), folder) as first, said.open("wb") as stderr:
        wait_until(lambda: UsageRecord.objects.count() == 1, within_s=60)
        with process(recorder(folder), folder, stderr=stderr):
            wait_until(lambda: "waiting for it to end" in said.read_text(), within_s=60)
            first.kill()
            first.wait(10)
            record_call(journal)
            wait_until(lambda: UsageRecord.objects.count() == 2, within_s=60)


def flush(folder: Path) -> str:
    ran = subprocess.run(
        [*MANAGE, "flush_usage"], env=process_environment(folder), cwd=ROOT, capture_output=True, text=True, timeout=90
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_flush_records_by_itself_and_beside_a_running_recorder(journal: Journal, folder: Path) -> None:
    record_call(journal)
    assert flush(folder).startswith("Recorded 1 settled calls from 2 lines")
    with process(recorder(folder, "--nice", "0"), folder):
        wait_until(lambda: is_taken(folder), within_s=60)
        record_call(journal, a_call("beside"))
        flush(folder)
        assert UsageRecord.objects.filter(request_id="beside", state="ok").exists()
    assert not list(folder.glob("*.flush*"))


def is_taken(folder: Path) -> bool:
    from registry.usage.recorder import _is_free

    return not _is_free(folder)


def test_five_outages_of_the_database_lose_and_double_nothing(journal: Journal, folder: Path) -> None:
    """The table is away while calls go on; the recorder waits, keeps no more in memory, and catches up."""
    table, away = "registry_usagerecord", "registry_usagerecord_away"
    number = 0
    with process(recorder(folder), folder) as running:
        for _ in range(5):
            rename(table, away)
            for _ in range(100):
                record_call(journal, a_call(f"call{number}"))
                number += 1
            time.sleep(0.6)  # long enough for the recorder to meet the outage
            rename(away, table)
            wait_until(lambda number=number: UsageRecord.objects.filter(state="ok").count() == number, within_s=60)
        assert running.poll() is None
    assert UsageRollup.objects.aggregate(calls=Sum("calls"))["calls"] == 500


def rename(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


def test_a_long_backlog_is_drained_in_bounded_memory(folder: Path) -> None:
    """Lines wait in files, not in the recorder: what it holds at once is a batch."""
    journal = Journal(folder, max_file_bytes=100_000)
    for number in range(3000):
        call = a_call(f"call{number}")
        journal.open(call, a_try())
        journal.settle(call, a_settlement())
    journal.release()
    with Recorder(folder) as draining:
        started = time.perf_counter()
        counts = draining.drain()
        took_s = time.perf_counter() - started
        assert draining.behind_bytes() == 0
    print(f"{counts.settled / took_s:.0f} calls/s")
    assert (counts.settled, UsageRecord.objects.count()) == (3000, 3000)
    assert not list(folder.glob("*.jsonl"))
