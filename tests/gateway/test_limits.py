"""Limits through the lane: two workers under their real server, which count together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from registry.models import LLMModel, RateLimit
from tests.gateway.conftest import Hub, clean, make_someone, start_hub, stop_hub, usage_of, wait_for
from tests.gateway.test_budgets import ANSWER, CHAT, HI, call, served
from tests.upstream import Hold, Upstream, json_answer, raw

__all__ = ["served"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> Iterator[Hub]:
    with django_db_blocker.unblock():
        running = start_hub(tmp_path_factory.mktemp("hub"), workers=2)
        try:
            yield running
        finally:
            stop_hub(running)
            clean()


@pytest.mark.usefixtures("served")
def test_a_tokens_requests_a_minute_hold_over_both_workers(hub: Hub) -> None:
    limited = make_someone("erin", requests_per_minute=10)

    def one(_: int) -> tuple[int, str]:
        with hub.client(limited.token) as client:
            answer = call(client, "free")
            return answer.status_code, answer.headers.get("x-ratelimit-limit-requests", "")

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(one, range(30)))
    # A minute may end while the test runs, and ten more come in.
    assert answers[(200, "10")] % 10 == 0 and answers[(429, "10")] == 30 - answers[(200, "10")] > 0
    with hub.client(limited.token) as client:
        refused = wait_for(lambda: call(client, "free"), lambda answer: answer.status_code == 429)
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-should-retry"] == "true"
    row = usage_of(refused.headers["x-request-id"])
    assert (row.state, row.error_code) == ("rejected", "rate_limit_exceeded")


@pytest.mark.usefixtures("served")
def test_calls_at_once_make_room_when_one_ends(hub: Hub, upstream: Upstream) -> None:
    limited = make_someone("erin", concurrency=1)
    upstream.on("POST", CHAT, raw(Hold()), json_answer(ANSWER))
    with hub.client(limited.token) as busy, hub.client(limited.token) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(busy.post, CHAT, json={"model": "free", "messages": HI}, timeout=2)
        upstream.wait_for(lambda seen: bool(seen.requests))
        refused = call(client, "free")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert waiting.exception() is not None  # its client gave up
        wait_for(lambda: call(client, "free").status_code, lambda status: status == 200)


def test_a_models_limit_is_its_own_and_the_next_model_answers(hub: Hub, served: Any) -> None:
    RateLimit.objects.create(model=LLMModel.objects.get(name="unpriced"), tokens_per_minute=1)
    with hub.client(served.token) as client:
        refused = wait_for(lambda: call(client, "unpriced"), lambda answer: answer.status_code == 429)
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        fallen = call(client, "unpriced", models=["free"])
        assert (fallen.status_code, fallen.headers["x-llmhub-model"]) == (200, "free")
