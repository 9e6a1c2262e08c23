"""`make soak`: the hub under a steady mixed load for half an hour; says whether memory stayed flat and no row was lost.

    python -m benchmarks.soak [--minutes 30]

Needs wrk. Exits 1 when an answer failed, when memory grew by more than a tenth after the first fifth of the time, or
when the ledger holds fewer rows than answers were counted.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import processes, subjects
from benchmarks.load import run_wrk
from benchmarks.tools import NotInstalled, ensure_command

MAX_GROWTH = 1.10
STEP_S = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    options = parser.parse_args()
    try:
        ensure_command("wrk", "wrk")
    except NotInstalled as why:
        print(f"Nothing was run: {why}.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="llmhub-soak-") as name:
        return soak(Path(name), options.minutes * 60)


def soak(folder: Path, seconds: float) -> int:
    answered = failed = 0
    settled_mb, last_mb = 0.0, 0.0
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(subjects.bare_upstream(folder))
        hub = stack.enter_context(subjects.hub(upstream.target.url.removesuffix("/v1/chat/completions"), folder))
        begun = time.monotonic()
        while (elapsed := time.monotonic() - begun) < seconds:
            for streamed, connections in ((False, 16), (True, 16)):
                got = run_wrk(hub.target, stream=streamed, connections=connections, seconds=STEP_S / 2, folder=folder)
                answered, failed = answered + got.requests, failed + got.errors
            last_mb = processes.resident_mb(*hub.pids)
            if elapsed < seconds / 5 or not settled_mb:
                settled_mb = max(settled_mb, last_mb)
            recorder_mb = processes.resident_mb(*hub.recorder_pids)
            print(
                f"{elapsed:6.0f} s  server {last_mb:.0f} MB, recorder {recorder_mb:.0f} MB, "
                f"{answered:,} answers, {failed} failed",
                flush=True,
            )
        assert hub.folder is not None
        rows = rows_in_ledger(hub.folder)
    growth = last_mb / settled_mb
    print(f"Memory {growth:.2f} times the first fifth's; {rows:,} rows for {answered:,} answers, {failed} failed.")
    return 0 if growth <= MAX_GROWTH and not failed and rows >= answered else 1


def rows_in_ledger(home: Path) -> int:
    command = [sys.executable, "-W", "ignore", "manage.py", "flush_usage"]
    env = subjects.hub_environment(home)
    subprocess.run(command, cwd=processes.ROOT, env=env, check=False, capture_output=True, timeout=600)
    database = next((home / "data").glob("*.sqlite3"))
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("select count(*) from registry_usagerecord").fetchone()[0])


if __name__ == "__main__":
    sys.exit(main())
