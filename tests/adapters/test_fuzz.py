"""A few thousand of the fuzzer's cases, and every one that ever failed. `make fuzz` runs a million."""

from __future__ import annotations

import pytest

from tests.adapters.fuzz import check, read_corpus
from tests.adapters.fuzz_cases import SUBJECTS, Case, make_case


@pytest.mark.parametrize("first", range(0, 3_000, 500))
def test_a_damaged_stream_never_crashes_a_decoder_and_its_splits_never_show(first: int) -> None:
    for seed in range(first, first + 500):
        try:
            check(make_case(seed))
        except Exception as failure:
            failure.add_note(f"seed {seed}: {make_case(seed).body!r}")
            raise


@pytest.mark.parametrize("case", read_corpus(), ids=lambda case: f"{case.subject.name}-{case.seed}")
def test_what_failed_once_stays_mended(case: Case) -> None:
    check(case)


def test_a_seed_makes_the_same_case_each_time() -> None:
    assert [make_case(seed).body for seed in range(50)] == [make_case(seed).body for seed in range(50)]


def test_the_cases_reach_every_decoder_and_both_endings() -> None:
    endings = {(case.subject.name, check(case) == "ok") for case in map(make_case, range(400))}
    assert endings == {(subject.name, ok) for subject in SUBJECTS for ok in (True, False)}
