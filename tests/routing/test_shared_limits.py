"""Limits over nodes: two of them on a real Valkey, which also goes away and comes back."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from adapters.types import Usage
from registry.routing import shared_limits
from registry.routing.limits import Entry, LimitError, Limits
from registry.routing.rules import LimitRule
from registry.routing.shared_limits import SharedEntry, SharedLimits
from tests.valkey import Valkey


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory() as folder:  # a socket's path is short: not pytest's
        running = Valkey(Path(folder))
        running.start()
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(autouse=True)
def empty(server: Valkey) -> None:
    with Redis.from_url(server.url) as client:
        client.flushall()


@asynccontextmanager
async def nodes(server: Valkey, count: int = 2) -> AsyncIterator[list[SharedLimits]]:
    made = [SharedLimits(server.url, Limits()) for _ in range(count)]
    for one in made:
        await one._valkey.ping()  # connected: the first connection on a busy machine may take longer than a call waits
    try:
        yield made
    finally:
        for one in made:
            await one.close()


def rule(place: str = "user:a", **limit: int) -> LimitRule:
    return LimitRule(place=place, words="The user's limit", **limit)  # type: ignore[arg-type]  # numbers


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A starved machine must not look like an outage."""
    monkeypatch.setattr(shared_limits, "ANSWER_WITHIN_S", 20)


async def refusal(limits: SharedLimits, *rules: LimitRule, tokens: int = 0) -> LimitError:
    with pytest.raises(LimitError) as caught:
        await limits.enter(rules, tokens)
    return caught.value


async def test_two_nodes_let_in_exactly_the_limit(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    fifty = rule(requests_per_minute=50)
    async with nodes(server) as both:
        calls = [both[number % 2].enter([fifty], 0) for number in range(200)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        entries = [one for one in answers if isinstance(one, SharedEntry)]
        assert len(entries) == 50
        assert sorted(one.standing.requests[1] for one in entries if one.standing.requests) == list(range(50))
        error = await refusal(both[0], fifty)
        assert (error.status, error.should_retry) == (429, True)
        assert error.retry_after_s is not None and 1 <= error.retry_after_s <= 60
        assert dict(error.headers)["x-ratelimit-remaining-requests"] == "0"


async def test_tokens_are_put_right_when_the_call_ends(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    thousand = rule(tokens_per_minute=1000)
    async with nodes(server) as (here, there):
        entry = await here.enter([thousand], 900)
        assert (await refusal(there, thousand, tokens=200)).retry_after_s
        entry.settle(Usage(input_tokens=50, output_tokens=50), None)

        async def fits() -> bool:
            try:
                await there.enter([thousand], 200)
            except LimitError:
                return False
            return True

        await until(fits)
        assert (await refusal(there, thousand, tokens=701)).retry_after_s
        alone = await refusal(there, thousand, tokens=1001)
        assert (alone.retry_after_s, alone.should_retry) == (None, False)


async def test_a_refused_call_counts_nowhere(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    wide, narrow = rule("user:a", requests_per_minute=2), rule("token:b", requests_per_minute=1, concurrency=5)
    async with nodes(server) as (here, there):
        await here.enter([wide, narrow], 0)
        await refusal(there, wide, narrow)
        await there.enter([wide], 0)
        await refusal(here, wide)


async def test_calls_at_once_over_nodes(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)
    two = rule(concurrency=2)
    async with nodes(server) as (here, there):
        first = await here.enter([two], 0)
        await there.enter([two], 0)
        assert (await refusal(here, two)).retry_after_s == 1
        first.settle(None, None)
        first.settle(None, None)  # once is enough: the second gives nobody's place away

        async def fits() -> bool:
            try:
                await there.enter([two], 0)
            except LimitError:
                return False
            return True

        await until(fits)
        await refusal(here, two)


async def test_a_dead_workers_places_end_and_a_living_ones_do_not(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(monkeypatch)
    monkeypatch.setattr(shared_limits, "SEAT_LIFE_S", 3)
    one = rule(concurrency=1)
    async with nodes(server) as (here, there):
        await here.enter([one], 0)
        with Redis.from_url(server.url) as client:
            until_then = int(client.time()[0]) + 5  # type: ignore[index]  # the synchronous client's pair

            async def later() -> bool:
                return int(client.time()[0]) >= until_then  # type: ignore[index]  # as above

            await until(later)
        await refusal(there, one)
        await here.close()

        async def fits() -> bool:
            try:
                await there.enter([one], 0)
            except LimitError:
                return False
            return True

        await until(fits)


async def test_without_valkey_a_node_counts_for_itself_and_comes_back(
    server: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    patient(monkeypatch)
    monkeypatch.setattr(shared_limits, "AWAY_S", 0)
    two = rule(requests_per_minute=2)
    async with nodes(server, 1) as (node,):
        server.stop()
        try:
            for _ in range(2):
                assert isinstance(await node.enter([two], 0), Entry)
            assert (await refusal(node, two)).retry_after_s
            assert "this node counts limits for itself" in caplog.text
        finally:
            server.start()
        assert isinstance(await node.enter([two], 0), SharedEntry)
