"""Sliding windows that processes share, and the requests that count in them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from registry.access.rates import Rates, network_of, shared_rates
from tests.api.conftest import by_session, by_token


@pytest.fixture(autouse=True)
def _nobody_counted() -> Iterator[None]:
    shared_rates.cache_clear()
    shared_rates().clear()
    yield
    shared_rates().clear()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_go_in_a_window_and_the_wait_is_said() -> None:
    clock = Clock()
    rates = Rates(clock=clock)
    assert [rates.take("a", 3, 60) for _ in range(3)] == [0, 0, 0]
    wait_s = rates.take("a", 3, 60)
    assert 0 < wait_s <= 60
    assert rates.take("b", 3, 60) == 0
    clock.now += wait_s
    assert rates.take("a", 3, 60) == 0
    rates.close()


def test_asking_counts_nothing_and_forgetting_counts_from_nothing() -> None:
    rates = Rates()
    assert [rates.wait_s("a", 1, 900) for _ in range(3)] == [0, 0, 0]
    rates.note("a", 900)
    assert rates.wait_s("a", 1, 900) > 0
    rates.forget("a", 900)
    assert rates.wait_s("a", 1, 900) == 0
    rates.close()


def test_workers_count_together_exactly(tmp_path: Path) -> None:
    """Each has the file open for itself, as processes have, and they take turns as the threads are scheduled."""
    workers = [Rates(tmp_path) for _ in range(4)]

    def take_many(rates: Rates) -> int:
        return sum(rates.take("one", 100, 3600) == 0 for _ in range(60))

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(take_many, workers)) == 100
    for rates in workers:
        rates.close()


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"),
     ("2001:db8::2", "2001:db8::/64"), ("", "unknown"), (None, "unknown"), ("x", "unknown")],
)  # fmt: skip
def test_an_ipv6_household_is_one_address(address: str | None, network: str) -> None:
    assert network_of(address) == network


def is_429(response: Any) -> bool:
    if response.status_code != 429:
        return False
    assert 0 < int(response["Retry-After"]) <= 60
    assert response["Content-Security-Policy"] and "no-store" in response["Cache-Control"]
    return True


def test_sign_ins_are_counted_by_address_whatever_the_name(db: None, settings: Any) -> None:
    settings.LLMHUB_SIGN_INS_PER_MINUTE = 3
    tries = [Client().post("/accounts/login/", {"username": f"n{i}", "password": "x"}) for i in range(4)]
    assert [is_429(answer) for answer in tries] == [False, False, False, True]
    assert Client().get("/accounts/login/").status_code == 200  # looking is free
    forged = Client().post("/accounts/login/", {"username": "x"}, headers={"x-forwarded-for": "203.0.113.1"})
    assert is_429(forged)
    assert not is_429(Client(REMOTE_ADDR="192.0.2.9").post("/accounts/login/", {"username": "x", "password": "x"}))


@pytest.mark.parametrize("path", ["/setup/x/", "/invitation/x/", "/accounts/2fa/webauthn/login/"])
def test_every_way_in_is_counted(path: str, db: None, settings: Any) -> None:
    settings.LLMHUB_SIGN_INS_PER_MINUTE = 1
    assert [is_429(Client().post(path)) for _ in range(2)] == [False, True]


def test_tests_of_connections_are_counted_by_who_asks(alice: Any, bob: Any, settings: Any) -> None:
    settings.LLMHUB_TESTS_PER_MINUTE = 2
    caller = by_session(alice)
    assert [is_429(caller.post("/api/models/test-connection/", {})) for _ in range(3)] == [False, False, True]
    assert not is_429(caller.get("/api/models/"))
    assert not is_429(by_token(bob).post("/api/models/test-connection/", {}))


def test_the_api_is_counted_by_token_session_and_address(alice: Any, settings: Any) -> None:
    settings.LLMHUB_API_PER_MINUTE = 2
    one, two, three = by_token(alice), by_token(alice), by_session(alice)
    for caller in (one, two, three):
        answers = [caller.get("/api/models/") for _ in range(3)]
        assert [is_429(answer) for answer in answers] == [False, False, True]
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    made_up = [Client().get("/api/models/", headers={"x-api-key": f"llmhub_{i:012d}_x"}) for i in range(5)]
    assert is_429(made_up[-1])  # five times the rate for all of an address


def test_pages_and_static_files_are_not_counted(alice: Any, settings: Any) -> None:
    settings.LLMHUB_API_PER_MINUTE = settings.LLMHUB_SIGN_INS_PER_MINUTE = 1
    client = Client()
    client.force_login(alice)
    assert {client.get("/").status_code for _ in range(3)} == {200}
