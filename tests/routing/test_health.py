"""Breakers, cool-downs and retry budgets, with a clock of the test's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.errors import (
    AuthenticationError,
    InvalidRequestError,
    LLMError,
    RateLimitedError,
    UpstreamConnectionError,
    UpstreamUnavailableError,
)
from registry.catalog.entries import CredentialEntry, LLMEntry, ProviderEntry
from registry.routing.health import (
    FAILURES_IN_A_ROW,
    KEY_FAILURES_IN_A_ROW,
    KEY_OPEN_S,
    LONGEST_COOL_DOWN_S,
    PROVIDER_OPEN_S,
    RETRY_FLOOR,
    WINDOW_CALLS,
    Health,
)
from registry.routing.resolve import Candidate

PROVIDER = ProviderEntry(id="p", slug="openai", base_url="https://api.example/v1")
KEY = CredentialEntry(id="k1", provider_id="p", label="team")
OTHER_KEY = CredentialEntry(id="k2", provider_id="p", label="spare")
DOWN = UpstreamConnectionError("no connection")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock=clock)


def candidate(key: CredentialEntry | None = KEY, model: str = "m", provider: ProviderEntry = PROVIDER) -> Candidate:
    entry = LLMEntry(id=model, name=model, provider=provider.slug, model=model, endpoint=provider)
    return Candidate(entry=entry, provider=provider, credential=key, scope="shared")


def fail(health: Health, error: LLMError, times: int = 1, to: Candidate | None = None) -> None:
    for _ in range(times):
        health.entered(to or candidate(), again=False)
        health.failed(to or candidate(), error)


def code(health: Health, at: Candidate | None = None) -> str | None:
    dropped = health.gate(at or candidate())
    return dropped.code if dropped else None


def test_a_breaker_opens_after_failures_in_a_row_and_says_so(health: Health) -> None:
    fail(health, DOWN, FAILURES_IN_A_ROW - 1)
    assert health.gate(candidate()) is None
    fail(health, DOWN)
    dropped = health.gate(candidate())
    assert dropped is not None and dropped.code == "breaker_open"
    assert "breaker open" in dropped.reason and dropped.retry_after_s == PROVIDER_OPEN_S


def test_a_provider_that_is_down_is_down_for_all_its_keys_and_models_and_no_other(health: Health) -> None:
    fail(health, DOWN, FAILURES_IN_A_ROW)
    assert code(health, candidate(OTHER_KEY, "another")) == "breaker_open"
    assert code(health, candidate(provider=replace(PROVIDER, id="q"))) is None
    assert code(health, candidate(provider=replace(PROVIDER, base_url="https://moved.example/v1"))) is None


def test_half_open_lets_one_probe_through_which_closes_or_reopens(health: Health, clock: Clock) -> None:
    fail(health, DOWN, FAILURES_IN_A_ROW)
    clock.now += PROVIDER_OPEN_S
    assert code(health) is None
    health.entered(candidate(), again=False)
    assert code(health) == "breaker_open"  # the probe is under way
    health.failed(candidate(), DOWN)
    assert code(health) == "breaker_open"
    clock.now += PROVIDER_OPEN_S
    health.entered(candidate(), again=False)
    health.succeeded(candidate(), 10)
    assert code(health) is None
    fail(health, DOWN, FAILURES_IN_A_ROW - 1)
    assert code(health) is None


def test_a_probe_whose_client_left_makes_room_for_the_next(health: Health, clock: Clock) -> None:
    fail(health, DOWN, FAILURES_IN_A_ROW)
    clock.now += PROVIDER_OPEN_S
    health.entered(candidate(), again=False)
    health.left(candidate())
    assert code(health) is None


def test_half_of_many_failing_opens_too(health: Health) -> None:
    for number in range(WINDOW_CALLS):
        health.entered(candidate(), again=False)
        if number % 2:
            health.failed(candidate(), DOWN)
        else:
            health.succeeded(candidate(), 5)
    assert code(health) == "breaker_open"


@pytest.mark.parametrize(
    "error",
    [InvalidRequestError("no", upstream_status=400), RateLimitedError("slow down", upstream_status=429)],
    ids=["400", "429"],
)
def test_an_answer_that_blames_the_request_shows_that_the_provider_is_there(health: Health, error: LLMError) -> None:
    fail(health, DOWN, FAILURES_IN_A_ROW - 1)
    fail(health, error)
    fail(health, DOWN, FAILURES_IN_A_ROW - 1)
    assert code(health) is None


def test_a_key_that_is_refused_is_left_alone_and_the_other_is_not(health: Health, clock: Clock) -> None:
    refused = AuthenticationError("no", upstream_status=401)
    fail(health, refused, KEY_FAILURES_IN_A_ROW)
    dropped = health.gate(candidate())
    assert dropped is not None and (dropped.code, "'team'" in dropped.reason) == ("breaker_open", True)
    assert code(health, candidate(OTHER_KEY)) is None
    clock.now += KEY_OPEN_S
    assert code(health) is None


def test_a_key_entered_anew_begins_anew(health: Health) -> None:
    fail(health, AuthenticationError("no", upstream_status=401), KEY_FAILURES_IN_A_ROW)
    assert code(health) == "breaker_open"
    assert code(health, candidate(replace(KEY))) is None


def test_retry_after_keeps_the_key_from_that_model_until_then(health: Health, clock: Clock) -> None:
    fail(health, RateLimitedError("slow down", upstream_status=429, retry_after_s=7))
    dropped = health.gate(candidate())
    assert dropped is not None and (dropped.code, dropped.retry_after_s) == ("rate_limited", 7)
    assert code(health, candidate(model="another")) is None
    assert code(health, candidate(OTHER_KEY)) is None
    clock.now += 7
    assert code(health) is None


@pytest.mark.parametrize("asked_s", [0.0, 1e9])
def test_retry_after_is_bounded(health: Health, clock: Clock, asked_s: float) -> None:
    fail(health, UpstreamUnavailableError("later", upstream_status=503, retry_after_s=asked_s))
    clock.now += LONGEST_COOL_DOWN_S if asked_s else 0
    assert code(health) is None


def test_retries_are_a_fifth_of_the_calls_and_a_few(health: Health) -> None:
    allowed = sum(health.may_retry(candidate()) for _ in range(50))
    assert allowed == RETRY_FLOOR
    for _ in range(51):
        health.entered(candidate(), again=False)
    assert sum(health.may_retry(candidate()) for _ in range(50)) == 10


def test_retries_are_regained_with_time(health: Health, clock: Clock) -> None:
    while health.may_retry(candidate()):
        pass
    clock.now += 31
    assert sum(health.may_retry(candidate()) for _ in range(50)) == RETRY_FLOOR


def test_looking_changes_nothing(health: Health, clock: Clock) -> None:
    fail(health, DOWN, FAILURES_IN_A_ROW)
    clock.now += PROVIDER_OPEN_S
    assert [code(health) for _ in range(5)] == [None] * 5


def test_memory_is_bounded(health: Health, monkeypatch: Any) -> None:
    monkeypatch.setattr("registry.routing.health._MAX_PLACES", 10)
    for number in range(100):
        fail(health, DOWN, to=candidate(provider=replace(PROVIDER, id=number)))
    assert len(health._providers) <= 10
