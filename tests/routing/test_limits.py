"""Limits by the minute and at once: in one process, and over the processes of a node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.types import Usage
from registry.routing.cells import Table
from registry.routing.limits import LimitError, Limits
from registry.routing.rules import LimitRule


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> Limits:
    return Limits(clock=clock)


def rule(place: str = "user:a", **limit: int) -> LimitRule:
    return LimitRule(place=place, words="The user's limit", **limit)  # type: ignore[arg-type]  # numbers


def refusal(limits: Limits, *rules: LimitRule, tokens: int = 0) -> LimitError:
    with pytest.raises(LimitError) as caught:
        limits.enter(rules, tokens)
    return caught.value


def test_requests_a_minute_are_counted_over_the_last_sixty_seconds(limits: Limits, clock: Clock) -> None:
    five = rule(requests_per_minute=5)
    for _ in range(3):
        limits.enter([five], 0)
    clock.now += 30
    for _ in range(2):
        limits.enter([five], 0)
    error = refusal(limits, five)
    assert (error.status, error.code, error.retry_after_s) == (429, "rate_limit_exceeded", 30)
    clock.now += 30
    for _ in range(3):
        limits.enter([five], 0)
    assert refusal(limits, five).retry_after_s == 30


def test_no_sixty_seconds_ever_hold_more_than_the_limit(limits: Limits, clock: Clock) -> None:
    seven = rule(requests_per_minute=7)
    let_in: list[float] = []
    for _ in range(400):
        try:
            limits.enter([seven], 0)
            let_in.append(clock.now)
        except LimitError:
            pass
        clock.now += 1.7
    for start in let_in:
        assert sum(start <= moment < start + 59 for moment in let_in) <= 7
    assert len(let_in) > 7 * 10


def test_headers_tell_the_tightest_limit(limits: Limits) -> None:
    entry = limits.enter(
        [rule(requests_per_minute=5), rule("group:b", requests_per_minute=3, tokens_per_minute=100)], 40
    )
    assert entry.standing.headers() == [
        ("x-ratelimit-limit-requests", "3"),
        ("x-ratelimit-remaining-requests", "2"),
        ("x-ratelimit-reset-requests", "60s"),
        ("x-ratelimit-limit-tokens", "100"),
        ("x-ratelimit-remaining-tokens", "60"),
        ("x-ratelimit-reset-tokens", "60s"),
    ]


def test_tokens_are_put_right_when_the_call_ends(limits: Limits, clock: Clock) -> None:
    hundred = rule(tokens_per_minute=100)
    entry = limits.enter([hundred], 80)
    refusal(limits, hundred, tokens=30)
    entry.settle(Usage(input_tokens=10, output_tokens=5), None)
    entry.settle(Usage(input_tokens=10, output_tokens=5), None)  # a second word changes nothing
    limits.enter([hundred], 85)
    assert refusal(limits, hundred, tokens=1).retry_after_s == 60
    clock.now += 60
    limits.enter([hundred], 100)


def test_a_call_that_is_larger_than_the_limit_is_not_to_be_tried_again(limits: Limits) -> None:
    error = refusal(limits, rule(tokens_per_minute=100), tokens=101)
    assert (error.should_retry, error.retry_after_s) == (False, None)


def test_calls_at_once_make_room_when_they_end(limits: Limits) -> None:
    two = rule(concurrency=2)
    first, _ = limits.enter([two], 0), limits.enter([two], 0)
    assert refusal(limits, two).retry_after_s == 1
    first.settle(None, None)
    limits.enter([two], 0)
    refusal(limits, two)


def test_a_call_counts_in_all_limits_or_in_none(limits: Limits) -> None:
    wide, narrow, crowded = (
        rule("a", requests_per_minute=10),
        rule("b", requests_per_minute=1),
        rule("c", concurrency=0),
    )
    refusal(limits, wide, crowded)
    entry = limits.enter([wide, narrow], 0)
    assert entry.standing.requests is not None
    refusal(limits, wide, narrow)
    assert limits.enter([wide], 0).standing.requests == (10, 8, 60)


def test_a_clock_that_goes_back_lets_no_more_in(limits: Limits, clock: Clock) -> None:
    two = rule(requests_per_minute=2)
    limits.enter([two], 0)
    clock.now -= 3600
    limits.enter([two], 0)
    refusal(limits, two)


def test_two_of_one_node_count_together(tmp_path: Path, clock: Clock) -> None:
    one, other = Limits(tmp_path, clock=clock), Limits(tmp_path, clock=clock)
    five = rule(requests_per_minute=5)
    for number in range(5):
        (one, other)[number % 2].enter([five], 0)
    refusal(one, five)
    refusal(other, five)


PROGRAM = """
import sys
from pathlib import Path
from registry.routing.limits import LimitError, Limits
from registry.routing.rules import LimitRule

limits = Limits(Path(sys.argv[1]), clock=lambda: 1_800_000_000.0)
rule = LimitRule(place="user:a", words="", requests_per_minute=500, concurrency=10)
let_in = 0
for _ in range(400):
    try:
        entry = limits.enter([rule], 0)
        let_in += 1
        entry.settle(None, None)
    except LimitError:
        pass
for _ in range(5):
    try:
        limits.enter([LimitRule(place="held", words="", concurrency=10)], 0)
    except LimitError:
        pass
print(let_in, flush=True)
"""


def test_processes_of_one_node_never_let_in_more_than_the_limit_and_the_dead_hold_no_place(tmp_path: Path) -> None:
    command: list[Any] = [sys.executable, "-c", PROGRAM, tmp_path]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert sum(int(output) for output in outputs) == 500
    # The three left places behind; all ten are free again for who comes now.
    limits = Limits(tmp_path, clock=lambda: 1_800_000_000.0)
    ten = rule("held", concurrency=10)
    for _ in range(10):
        limits.enter([ten], 0)
    refusal(limits, ten)


def test_a_full_table_takes_the_place_of_another_key(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", rows=8)
    with table.held():
        for number in range(100):
            table.row(f"key{number}")[4] = number
        assert table.row("key99")[4] == 99
    table.close()
