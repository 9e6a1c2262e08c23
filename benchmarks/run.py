"""`make bench`: measures the hub, LiteLLM's proxy, Portkey's gateway, nginx and the bare upstream side by side.

Everything is on loopback, one gateway's core and one for upstream, load and recorder; all run at once and take turns,
so that what else the machine does meets them alike. Prints the tables and writes them to docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import processes, report, streams, subjects
from benchmarks.load import Figures, run_wrk
from benchmarks.report import ONE, STREAM, WHOLE, Measured, Run
from benchmarks.subjects import Subject
from benchmarks.tools import NotInstalled, ensure_command

FIGURES = {WHOLE: (False, 32), STREAM: (True, 16), ONE: (False, 1)}  # streamed, connections
SHORT = 1.0  # seconds of warming up
PAGE = processes.ROOT / "docs" / "benchmarks.md"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="the best of them counts (default 3)")
    parser.add_argument("--only", default="nginx,hub,portkey,litellm", help="gateways to measure")
    parser.add_argument("--streams", type=int, default=1000, help="streams to hold open (default 1000)")
    parser.add_argument("--no-page", action="store_true", help="leave docs/benchmarks.md as it is")
    options = parser.parse_args()
    try:
        ensure_command("wrk", "wrk")
    except NotInstalled as why:
        print(f"Nothing was measured: {why}.", file=sys.stderr)
        return 1
    run = Run(machine=machine(), load_average=f"{os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="llmhub-bench-") as name, contextlib.ExitStack() as stack:
        measure(run, options, Path(name), stack)
    text = report.tables(run)
    print(text)
    if not options.no_page:
        PAGE.write_text(page(run, text, options))
        print(f"Written to {PAGE.relative_to(processes.ROOT)}")
    return 0


def measure(run: Run, options: argparse.Namespace, folder: Path, stack: contextlib.ExitStack) -> None:
    upstream = stack.enter_context(subjects.bare_upstream(folder))
    upstream_url = upstream.target.url.removesuffix("/v1/chat/completions")
    started = [upstream]
    for name in options.only.split(","):
        say(f"starting {name}")
        try:
            started.append(stack.enter_context(getattr(subjects, name)(upstream_url, folder)))
        except (NotInstalled, RuntimeError, subprocess.CalledProcessError) as why:
            run.missing[name] = " ".join(str(why).split())[:300]
            say(f"{name} is left out: {run.missing[name]}")
    run.subjects = [_measured(subject) for subject in started]
    hub = next((subject for subject in started if subject.name == report.HUB), None)
    for figure in FIGURES:
        for round_ in range(options.rounds):
            for subject, measured in zip(started, run.subjects, strict=True):
                load(subject, measured, figure, options.seconds, folder)
            say(f"{figure}, round {round_ + 1} of {options.rounds}")
    if hub is not None:
        run.streams = streams.open_many(hub, upstream_url, options.streams)
        run.ledger = ledger(hub)
    measured_resolution(run)


def _measured(subject: Subject) -> Measured:
    return Measured(
        name=subject.name,
        version=subject.version,
        switched_on=subject.switched_on,
        idle_mb=processes.resident_mb(*subject.pids),
    )


def load(subject: Subject, measured: Measured, figure: str, seconds: float, folder: Path) -> None:
    """One round of one figure; the best round is kept, and errors of any round make it known."""
    streamed, connections = FIGURES[figure]
    try:
        run_wrk(subject.target, stream=streamed, connections=connections, seconds=SHORT, folder=folder)
        cpu_before = processes.cpu_s(*subject.pids)
        got = run_wrk(subject.target, stream=streamed, connections=connections, seconds=seconds, folder=folder)
        cpu_us = (processes.cpu_s(*subject.pids) - cpu_before) / max(got.requests, 1) * 1e6
    except (RuntimeError, subprocess.TimeoutExpired) as why:
        say(f"{subject.name}, {figure}: {why}")
        return
    if not got.requests:
        say(f"{subject.name}, {figure}: not one answer in {seconds:g} s")
        return
    measured.loaded_mb = max(measured.loaded_mb, processes.resident_mb(*subject.pids))
    measured.cpu_us[figure] = min(cpu_us, measured.cpu_us.get(figure, cpu_us))
    best = measured.best.get(figure)
    measured.best[figure] = got if best is None else better(best, got, figure)


def better(one: Figures, other: Figures, figure: str) -> Figures:
    if figure == ONE:
        return min(one, other, key=lambda figures: figures.p50_ms)
    return max(one, other, key=lambda figures: figures.per_s)


def ledger(hub: Subject) -> str:
    """Wait until the recorder has all, then count the rows."""
    assert hub.folder is not None
    begun = time.monotonic()
    command = [sys.executable, "-W", "ignore", "manage.py", "flush_usage"]
    env = subjects.hub_environment(hub.folder)
    subprocess.run(command, cwd=processes.ROOT, env=env, check=False, capture_output=True, timeout=180)
    took_s = time.monotonic() - begun
    database = next((hub.folder / "data").glob("*.sqlite3"))
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = "select state, count(*) from registry_usagerecord group by state order by 2 desc"
        states = dict(connection.execute(query).fetchall())
    shown = ", ".join(f"{count:,} {state}" for state, count in states.items())
    return f"The hub's ledger {took_s:.1f} s after the last load: {sum(states.values()):,} rows ({shown})."


def measured_resolution(run: Run) -> None:
    with tempfile.TemporaryDirectory() as name:
        env = subjects.hub_environment(Path(name)) | {
            "DJANGO_SECRET_KEY": "0" * 50,
            "LLMHUB_ENCRYPTION_KEYS": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        }
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.resolution"]
        done = subprocess.run(
            command, cwd=processes.ROOT, env=env, capture_output=True, text=True, timeout=300, check=False
        )
    if done.returncode != 0:
        run.missing["resolution"] = done.stderr.strip().splitlines()[-1][:300] if done.stderr.strip() else "no word why"
        return
    said = json.loads(done.stdout.strip().splitlines()[-1])
    run.resolution_us, run.find_best_ms = said["resolution_us"], said["find_best_ms"]


def machine() -> str:
    model = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{len(processes.CORES)} cores, {model or platform.machine()}, Linux {platform.release()}".replace(
        "Linux", platform.system()
    )


def page(run: Run, text: str, options: argparse.Namespace) -> str:
    return (
        "# Benchmarks\n\n"
        "Written by `make bench`; `benchmarks/` has the code. All gateways ran at once and took turns, pinned to one\n"
        "core; the upstream, the load (wrk) and the hub's recorder had the other. Ratios count, not the figures: what\n"
        "else the machine did slowed all alike.\n\n"
        f"Machine: {run.machine}; Python {platform.python_version()}; load average at the start {run.load_average}; "
        f"{options.rounds} rounds of {options.seconds:g} s, the best counts; "
        f"{time.strftime('%Y-%m-%d', time.gmtime())}.\n\n"
        f"{text}"
    )


def say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
