"""Budgets through the lane: two workers under their real server, a real upstream, and the ledger's own count."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.db.models import Sum

from registry.models import Budget, BudgetLease, UsageRecord
from tests.gateway.conftest import (
    Hub,
    Someone,
    make_key,
    make_model,
    make_provider,
    open_loopback,
    rows_at_once,
    start_hub,
    stop_hub,
    usage_of,
    wait_for,
)
from tests.upstream import Hold, Upstream, json_answer, raw

CHAT = "/v1/chat/completions"
# One USD a call: a million output tokens cost 1000 USD, and each call may write a thousand.
PRICES = {"input_per_1m": "0", "output_per_1m": "1000"}
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "served",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 1000, "total_tokens": 1010},
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> Iterator[Hub]:
    """Two workers, as a budget's slices want."""
    from tests.gateway.conftest import clean

    with django_db_blocker.unblock():
        running = start_hub(tmp_path_factory.mktemp("hub"), workers=2)
        try:
            yield running
        finally:
            stop_hub(running)
            clean()


@pytest.fixture
def served(hub: Hub, upstream: Upstream, someone: Someone) -> Someone:
    upstream.on("POST", CHAT, json_answer(ANSWER))
    with rows_at_once(hub, someone):
        open_loopback()
        provider = make_provider(upstream, "up")
        make_key(provider, "sk-upstream-0123456789")
        make_model(provider, "priced", prices=PRICES)
        make_model(provider, "free", prices={"input_per_1m": "0", "output_per_1m": "0"})
        make_model(provider, "unpriced")
    return someone


def limit(hub: Hub, someone: Someone, amount: str, **subject: Any) -> Budget:
    """A budget, once each worker knows it: a worker that does not would let calls go by."""
    budget = Budget.objects.create(amount=Decimal(amount), **(subject or {"user": someone.user}))

    def known() -> int:
        with hub.client(someone.token) as client:  # a connection of its own each time, so that both are met
            body = {"model": "unpriced", "messages": HI}
            found = client.post("/api/llm/resolve", json=body).json()
        return len(found["candidates"])

    for _ in range(12):
        wait_for(known, lambda count: count == 0)
    return budget


HI = [{"role": "user", "content": "hi"}]


def call(client: httpx.Client, model: str = "priced", **more: Any) -> httpx.Response:
    return client.post(CHAT, json={"model": model, "messages": HI, "max_tokens": 1000} | more)


def spent(budget: Budget) -> Decimal:
    budget.refresh_from_db()
    return budget.spent


def test_two_hundred_at_once_on_a_budget_for_fifty(hub: Hub, upstream: Upstream, served: Someone) -> None:
    budget = limit(hub, served, "50")
    with ThreadPoolExecutor(40) as pool:

        def one(_: int) -> int:
            with hub.client(served.token) as client:
                return call(client).status_code

        codes = Counter(pool.map(one, range(200)))
    assert set(codes) == {200, 429}
    sent = len([request for request in upstream.requests if request.path == CHAT])
    assert 48 <= codes[200] <= 50
    assert sent == codes[200]
    wait_for(lambda: UsageRecord.objects.exclude(state="running").count(), lambda count: count == 200)
    assert UsageRecord.objects.aggregate(cost=Sum("cost"))["cost"] == codes[200]
    assert wait_for(lambda: spent(budget), lambda amount: amount == codes[200])
    rejected = UsageRecord.objects.filter(state="rejected")
    assert rejected.count() == 200 - codes[200]
    assert set(rejected.values_list("error_code", flat=True)) <= {"insufficient_quota", "budget_in_use"}


def test_a_spent_budget_says_so_in_each_dialect_and_is_not_to_be_tried_again(hub: Hub, served: Someone) -> None:
    budget = limit(hub, served, "1")
    with hub.client(served.token) as client:
        assert call(client).status_code == 200
        wait_for(lambda: spent(budget), lambda amount: amount == 1)
        refused = call(client)
        assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
        assert "budget" in error["message"]
        row = usage_of(refused.headers["x-request-id"])
        assert (row.state, row.error_code, row.cost) == ("rejected", "insufficient_quota", 0)
        body = {"model": "priced", "messages": HI, "max_tokens": 1000}
        refused = client.post("/v1/messages", json=body, headers={"anthropic-version": "2023-06-01"})
        assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
        assert refused.json()["error"]["type"] == "billing_error"
        found = client.post("/api/llm/resolve", json={"model": "priced"}).json()
        assert [(drop["name"], drop["code"]) for drop in found["dropped"]] == [("priced", "over_budget")]


def test_free_models_are_exempt_and_serve_as_fallback_and_unpriced_ones_are_refused(hub: Hub, served: Someone) -> None:
    limit(hub, served, "0")
    with hub.client(served.token) as client:
        assert call(client).status_code == 429
        assert call(client, "free").status_code == 200
        fallen = call(client, models=["free"])
        assert (fallen.status_code, fallen.headers["x-llmhub-model"]) == (200, "free")
        refused = call(client, "unpriced")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_unpriced")


def test_streams_embeddings_and_the_hubs_own_routes_pay_from_the_same_budget(hub: Hub, served: Someone) -> None:
    limit(hub, served, "0.5")
    with hub.client(served.token) as client:
        assert call(client, stream=True).status_code == 429
        body = {"model": "priced", "messages": HI, "params": {"max_tokens": 1000}}
        assert client.post("/api/llm/chat", json=body).status_code == 429
        assert client.post("/v1/responses", json={"model": "priced", "input": "hi"}).status_code == 429


def test_a_killed_worker_gives_back_what_it_held_and_keeps_what_it_spent(
    hub: Hub, upstream: Upstream, served: Someone
) -> None:
    budget = limit(hub, served, "100")
    with hub.client(served.token) as client:
        for _ in range(3):
            assert call(client).status_code == 200
    held = wait_for(lambda: list(BudgetLease.objects.filter(budget=budget)))
    upstream.on("POST", CHAT, raw(Hold()))
    with hub.client(served.token) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, client)
        upstream.wait_for(lambda seen: len(seen.requests) >= 4)
        for pid in {int(lease.holder.split("-")[1]) for lease in [*held, *BudgetLease.objects.filter(budget=budget)]}:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            waiting.result(20)
    wait_for(lambda: BudgetLease.objects.filter(budget=budget).exists(), lambda there: not there)
    budget.refresh_from_db()
    assert (budget.spent, budget.leased) == (3, 0)
    assert UsageRecord.objects.filter(state="abandoned").count() == 1
