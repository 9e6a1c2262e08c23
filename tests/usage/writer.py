"""A worker that writes calls until it is killed: `python -m tests.usage.writer FOLDER NAME RATE`. Needs no Django.

It prints the request id of each call after the line that opened it is written, and again with "settled" after the last,
so that whoever killed it knows what must be in the ledger. Every tenth call stays open.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from adapters.types import Usage
from registry.usage.journal import Journal
from registry.usage.ledger import CallIntent, Settlement, TryIntent, TryOutcome

INPUT_TOKENS = 1000


def write_for_ever(folder: Path, name: str, per_second: float) -> None:
    journal = Journal(folder, max_file_bytes=40_000)
    number = 0
    while True:
        now_ms = time.time_ns() // 1_000_000
        call = CallIntent(request_id=f"{name}-{number}", started_at_ms=now_ms, username=name)
        journal.open(call, TryIntent(number=1, started_at_ms=now_ms, model_name="m"))
        os.write(1, f"opened {call.request_id}\n".encode())
        if number % 10 != 9:
            usage = Usage(input_tokens=INPUT_TOKENS, output_tokens=1)
            outcome = TryOutcome(number=1, state="ok", usage=usage)
            journal.settle(call, Settlement(state="ok", ended_at_ms=now_ms, usage=usage, outcome=outcome))
            os.write(1, f"settled {call.request_id}\n".encode())
        number += 1
        time.sleep(1 / per_second)


if __name__ == "__main__":
    write_for_ever(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
