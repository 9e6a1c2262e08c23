"""`make fuzz-api`: cases from the API's own schema, answered on SQLite and on PostgreSQL: no 5xx, the same status.

One process makes the cases (schemathesis, both what fits the schema and what does not), two answer them, each over a
database of its own with the same rows. Every case runs in a transaction that is rolled back, so that each meets the
same rows. What has the hub call other servers (tests of a connection) is left out.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
CALLS_OUT = ("test-connection", "/test/")
WHO = ("admin", "alice")
BATCH = 25
EACH = 10  # of an operation and mode at a time, so that a short run reaches all of them


class Answerer:
    """A process that answers cases over its own database."""

    def __init__(self, database: str) -> None:
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        environment.pop("LLMHUB_TEST_DATABASE_URL", None)
        if database:
            environment["LLMHUB_TEST_DATABASE_URL"] = database
        command = [sys.executable, "-W", "ignore", "-m", "tests.api.fuzz_answers"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.schema: dict[str, Any] = {}
        self.rows: dict[str, str] = {}
        hello = json.loads(self._out.readline())
        self.schema, self.rows = hello["schema"], hello["rows"]

    @property
    def _out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def send(self, cases: list[dict[str, Any]]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(cases) + "\n")
        self.process.stdin.flush()

    def receive(self) -> list[int]:
        found: list[int] = json.loads(self._out.readline())
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._out.close()
        self.process.wait(60)


def make_cases(
    schema: dict[str, Any], rows: dict[str, str], count: int, seed: int, each: int = EACH
) -> Iterator[dict[str, Any]]:
    """`count` cases, as many of each operation, half of them outside the schema. A seed makes the same ones."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from schemathesis.generation import GenerationMode

    loaded = schemathesis.openapi.from_dict(schema)
    operations = [found.ok() for found in loaded.get_all_operations()]
    operations = [one for one in operations if not any(word in one.path for word in CALLS_OUT)]
    random.Random(seed).shuffle(operations)
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    limits = settings(max_examples=each, database=None, deadline=None, phases=[Phase.generate],
                      suppress_health_check=list(HealthCheck))  # fmt: skip
    made = turn = 0
    empty: set[tuple[str, Any]] = set()  # nothing of this kind can be made for the operation: there is nothing to break
    while made < count:
        for operation in operations:
            for mode in modes:
                turn += 1
                kept: list[dict[str, Any]] = []
                if (operation.label, mode) in empty:
                    continue
                strategy = operation.as_strategy(generation_mode=mode)
                try:
                    draw(seeded(seed + turn), limits, given(case=strategy), kept, rows)
                except Exception as error:
                    if type(error).__name__ not in ("Unsatisfiable", "SkipTest", "Skipped"):
                        raise
                    empty.add((operation.label, mode))
                yield from kept[: count - made]
                made += len(kept)


def draw(seeded: Any, limits: Any, given: Any, kept: list[dict[str, Any]], rows: dict[str, str]) -> None:
    """Have Hypothesis make its examples."""

    def one(case: Any) -> None:
        kept.append(as_request(case, rows, len(kept)))

    seeded(limits(given(one)))()


def as_request(case: Any, rows: dict[str, str], number: int) -> dict[str, Any]:
    """A case as method, path, headers and body; every other one names a row that is there."""
    import requests

    noun = case.path.split("/")[2] if case.path.count("/") > 2 else ""
    if number % 2 and "id" in case.path_parameters and noun in rows:
        case.path_parameters["id"] = rows[noun]
    prepared = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
    body = prepared.body or b""
    body = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return {
        "method": prepared.method,
        "path": (prepared.path_url or "/"),
        "type": str(prepared.headers.get("content-type", "application/json")),
        "body": base64.b64encode(bytes(body)).decode(),
        "who": WHO[number // 2 % 2],
        "operation": f"{case.method} {case.path}",
    }


def run(count: int, seed: int, databases: dict[str, str]) -> tuple[Counter[int], list[str]]:
    """Answers how often each status came, and what was wrong."""
    answerers = {name: Answerer(url) for name, url in databases.items()}
    first = next(iter(answerers.values()))
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    begun, batch = time.monotonic(), []

    def flush() -> None:
        for answerer in answerers.values():
            answerer.send(batch)
        found = {name: answerer.receive() for name, answerer in answerers.items()}
        for place, case in enumerate(batch):
            got = {name: answers[place] for name, answers in found.items()}
            statuses[next(iter(got.values()))] += 1
            if len(set(got.values())) > 1 or any(status >= 500 for status in got.values()):
                wrong.append(f"{case['operation']} as {case['who']}: {got} {json.dumps(case)[:2000]}")
        done = sum(statuses.values())
        if done % 500 < len(batch):
            print(f"{done} cases, {len(wrong)} wrong, {done / (time.monotonic() - begun):.0f}/s", flush=True)
        batch.clear()

    try:
        for case in make_cases(first.schema, first.rows, count, seed):
            batch.append(case)
            if len(batch) == BATCH:
                flush()
        if batch:
            flush()
    finally:
        for answerer in answerers.values():
            answerer.close()
    return statuses, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sqlite-only", action="store_true")
    options = parser.parse_args()
    databases = {"sqlite": ""}
    if not options.sqlite_only:
        from tests.postgres import start_server

        databases["postgresql"] = start_server()[0]
    statuses, wrong = run(options.cases, options.seed, databases)
    print("statuses:", ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())))
    for line in wrong[:50]:
        print("WRONG", line)
    print(f"{sum(statuses.values())} cases on {' and '.join(databases)}, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
