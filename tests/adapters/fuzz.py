"""Fuzzes the stream decoders: a case decoded whole, at random splits and byte by byte must end the same way.

    python -m tests.adapters.fuzz --cases 1000000

Every eighth case, and each one shorter than 60 bytes, goes byte by byte too. Bounded: a hundred cases that take longer
than a minute fail as a hang, and a process may take 2 GiB at most.
What fails is added to `fuzz_corpus.jsonl`, seed and bytes, and from then on the test suite decodes it every time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from adapters.anthropic_client import AnthropicClientCodec
from adapters.base import ClientCodec, StreamDecoder
from adapters.errors import LLMError
from adapters.openai_chat_client import OpenAIChatClientCodec
from adapters.openai_responses_client import OpenAIResponsesClientCodec
from adapters.types import (
    Finished,
    ReasoningDelta,
    RefusalDelta,
    ResponseStarted,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from tests.adapters.fuzz_cases import SUBJECTS, Case, Subject, make_case, random_cuts
from tests.adapters.replay import without_new_ids

CORPUS = Path(__file__).with_name("fuzz_corpus.jsonl")
CLIENTS: tuple[ClientCodec, ...] = (
    OpenAIChatClientCodec(),
    AnthropicClientCodec(),
    OpenAIResponsesClientCodec(),
)
_HUNDRED_CASES_S = 60
_MOST_MEMORY = 2 * 1024**3
_BATCH = 2_000


def check(case: Case) -> str:
    """How the case ended, "ok" or an error's class; raises AssertionError, or whatever crashed."""
    events, error = _decode(case.subject, [case.body])
    _assert_in_order(events)
    expected = (_comparable(events), type(error), str(error))
    source = random.Random(case.seed)
    by_byte = len(case.body) < 60 or case.seed // len(SUBJECTS) % 8 == 0
    splits = [random_cuts(case.body, source)]
    if by_byte:
        splits.append([case.body[n : n + 1] for n in range(len(case.body))])
    for split in splits:
        again, error_again = _decode(case.subject, split)
        found = (_comparable(again), type(error_again), str(error_again))
        assert found == expected, f"split into {len(split)}: {found!r}\nwhole: {expected!r}"
    if not case.subject.name.startswith("tap") and by_byte:
        _encode(events, error)
    return "ok" if error is None else type(error).__name__


def _comparable(events: list[StreamEvent]) -> list[StreamEvent] | bytes:
    if events and isinstance(events[0], bytes):
        return b"".join(events)  # the pass-through's: where the bytes were split may show, what they are may not
    return without_new_ids(events)


def _decode(subject: Subject, pieces: list[bytes]) -> tuple[list[StreamEvent], LLMError | None]:
    decoder = subject.make()
    events: list[StreamEvent] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        events += decoder.close()
    except LLMError as error:
        _assert_stays_broken(decoder, error)
        return events, error
    return events, None


def _assert_stays_broken(decoder: StreamDecoder, error: LLMError) -> None:
    for call in (lambda: decoder.feed(b"data: {}\n\n"), decoder.close):
        try:
            call()
        except LLMError as again:
            assert (type(again), str(again)) == (type(error), str(error))
        else:
            raise AssertionError("a broken stream went on")


def _assert_in_order(events: list[StreamEvent]) -> None:
    """The order that `types.py` promises, and fields of the types it declares."""
    finished: set[int] = set()
    calls: Counter[int] = Counter()
    for position, event in enumerate(events):
        match event:
            case ResponseStarted():
                assert position == 0 or not any(isinstance(e, ResponseStarted) for e in events[:position]), "two starts"
                assert isinstance(event.model, str) and (event.id is None or isinstance(event.id, str)), event
            case TextDelta() | ReasoningDelta() | RefusalDelta():
                assert isinstance(event.text, str), event
            case ToolCallStarted():
                assert event.index == calls[event.choice], "call indices have a gap"
                assert isinstance(event.id, str) and isinstance(event.name, str), event
                calls[event.choice] += 1
            case ToolCallDelta():
                assert 0 <= event.index < calls[event.choice], "arguments of a call that was not announced"
                assert isinstance(event.arguments, str), event
            case Finished():
                assert event.choice not in finished, "two ends of one choice"
                assert event.raw_reason is None or isinstance(event.raw_reason, str), event
                finished.add(event.choice)


def _encode(events: list[StreamEvent], error: LLMError | None) -> None:
    """What was decoded can be told to a client of any dialect."""
    for client in CLIENTS:
        encoder = client.stream_encoder(request_id="r", model="m", include_usage=True)
        told = b"".join([encoder.encode(event) for event in events])
        told += encoder.finish() if error is None else encoder.error(error, request_id="r")
        told.decode()


# --- the corpus ----------------------------------------------------------------------------------------------------


def read_corpus() -> list[Case]:
    """What failed once, with the bytes as they were: the generator may change."""
    by_name = {subject.name: subject for subject in SUBJECTS}
    rows = (json.loads(line) for line in CORPUS.read_text().splitlines())
    return [
        Case(seed=row["seed"], subject=by_name[row["decoder"]], body=row["bytes"].encode("latin-1")) for row in rows
    ]


def _keep(case: Case, why: str) -> None:
    row = {"seed": case.seed, "decoder": case.subject.name, "why": why, "bytes": case.body.decode("latin-1")}
    with CORPUS.open("a") as file:
        file.write(json.dumps(row) + "\n")


# --- the command ---------------------------------------------------------------------------------------------------


def run_batch(span: tuple[int, int]) -> tuple[Counter[tuple[str, str]], list[tuple[int, str]]]:
    """The counts of the cases from `span`, and the seeds that failed with the reason."""
    counts: Counter[tuple[str, str]] = Counter()
    failures: list[tuple[int, str]] = []
    for number, seed in enumerate(range(*span)):
        if number % 100 == 0:
            signal.alarm(_HUNDRED_CASES_S)
        case = make_case(seed)
        try:
            counts[case.subject.name, check(case)] += 1
        except Exception as failure:
            counts[case.subject.name, "FAILED"] += 1
            failures.append((seed, f"{type(failure).__name__}: {failure}"[:2000]))
    signal.alarm(0)
    return counts, failures


def _limit_process() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    signal.signal(signal.SIGALRM, _hangs)


def _hangs(*_: object) -> None:
    raise TimeoutError("the case, or the hundred before it, took too long")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; the others follow it")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3600, help="stop after this long, with what there is")
    options = parser.parse_args(arguments)
    last = options.seed + options.cases
    spans = [(start, min(start + _BATCH, last)) for start in range(options.seed, last, _BATCH)]
    counts: Counter[tuple[str, str]] = Counter()
    failures: list[tuple[int, str]] = []
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(options.jobs, _limit_process) as pool:
        for found, failed in pool.imap_unordered(run_batch, spans):
            counts += found
            failures += failed
            for seed, why in failed:
                print(f"\nseed {seed}: {why}", file=sys.stderr)
            print(f"\r{counts.total():,} cases, {len(failures)} failed", end="", file=sys.stderr, flush=True)
            if time.monotonic() - began > options.seconds:
                break
        pool.terminate()
        pool.join()
    print(file=sys.stderr)
    _report(counts, failures, time.monotonic() - began)
    return 1 if failures or counts.total() < options.cases else 0


def _report(counts: Counter[tuple[str, str]], failures: list[tuple[int, str]], seconds: float) -> None:
    endings = sorted({ending for _, ending in counts})
    for subject in SUBJECTS:
        row: dict[str, Any] = {ending: counts[subject.name, ending] for ending in endings}
        print(f"{subject.name:20}", "  ".join(f"{ending} {count:,}" for ending, count in row.items() if count))
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"{counts.total():,} cases in {seconds:.0f} s, {len(failures)} failed, at most {memory} MiB in a process")
    for seed, why in sorted(failures)[:20]:
        print(f"--- seed {seed}: {why}")
        _keep(make_case(seed), why.split("\n")[0][:200])


if __name__ == "__main__":
    raise SystemExit(main())
