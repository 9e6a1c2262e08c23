"""Retries and fallbacks of the client against a real loopback upstream: who is asked, how often, and what is noted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from adapters.chat_request import read_chat_request
from adapters.errors import LLMError, RateLimitedError, UpstreamUnavailableError
from registry import DictRegistry, DynamicLLMClient
from registry.client import NoCandidateError
from registry.routing import tries
from registry.routing.health import FAILURES_IN_A_ROW, RETRY_FLOOR
from registry.routing.resolve import Ask
from tests.client.test_dynamic_client import Book, completion, entry
from tests.upstream import Hangup, Upstream, chunked, json_answer, raw, sse

CHAT = "/v1/chat/completions"
FINE = json_answer(completion("fine"))
BUSY = json_answer({"error": {"message": "busy"}}, status=503)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "FIRST_PAUSE_S", 0.001)


def client(*entries: object, book: Book | None = None) -> DynamicLLMClient:
    return DynamicLLMClient(DictRegistry(list(entries)), ledger=book)  # type: ignore[arg-type]  # any ledger


async def test_a_passing_failure_is_tried_again_and_both_tries_are_noted(upstream: Upstream) -> None:
    upstream.on("POST", CHAT, BUSY, FINE)
    book = Book()
    result = await client(entry(upstream, 1), book=book).generate("x", model="model-1")
    assert (result.reply, result.attempts) == ("fine", 2)
    assert book.kinds == ["open", "close", "open", "settle"]


async def test_two_retries_are_the_most(upstream: Upstream) -> None:
    upstream.on("POST", CHAT, BUSY)
    book = Book()
    with pytest.raises(UpstreamUnavailableError):
        await client(entry(upstream, 1), book=book).generate("x", model="model-1")
    assert len(upstream.requests) == 1 + tries.MAX_RETRIES
    assert book.settlement.state == "error"


async def test_retry_after_is_waited_for_and_a_long_one_is_told_instead(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(tries.asyncio, "sleep", noted)
    slow = json_answer({"error": {"message": "slow"}}, status=429, headers={"retry-after": "3"})
    upstream.on("POST", CHAT, slow, FINE)
    assert (await client(entry(upstream, 1)).generate("x", model="model-1")).reply == "fine"
    assert len([wait for wait in waits if wait >= 3]) == 1
    later = json_answer({"error": {"message": "slow"}}, status=429, headers={"retry-after": "30"})
    upstream.on("POST", "/later/chat/completions", later)
    with pytest.raises(RateLimitedError) as caught:
        await client(entry(upstream, 2, path="/later")).generate("x", model="model-2")
    assert caught.value.retry_after_s == 30
    assert len(upstream.requests) == 3


async def test_who_asked_to_wait_is_not_asked_by_the_next_call(upstream: Upstream) -> None:
    later = json_answer({"error": {"message": "slow"}}, status=429, headers={"retry-after": "30"})
    upstream.on("POST", CHAT, later)
    one = client(entry(upstream, 1))
    with pytest.raises(RateLimitedError):
        await one.generate("x", model="model-1")
    with pytest.raises(NoCandidateError) as caught:
        await one.generate("x", model="model-1")
    assert (caught.value.status, caught.value.code, len(upstream.requests)) == (429, "rate_limited", 1)
    assert 25 < (caught.value.retry_after_s or 0) <= 30


async def test_a_breaker_opens_and_the_next_model_answers_without_asking_the_first(upstream: Upstream) -> None:
    upstream.on("POST", "/bad/chat/completions", BUSY)
    upstream.on("POST", CHAT, FINE)
    both = client(entry(upstream, 1, path="/bad"), entry(upstream, 2))
    ask = Ask(model="model-1", models=("model-2",))
    for _ in range(FAILURES_IN_A_ROW + 3):
        assert await _ask(both, ask) == "fine"
    assert sum(request.path.startswith("/bad") for request in upstream.requests) == FAILURES_IN_A_ROW
    found = both.resolve(ask)
    assert [(drop.name, drop.code) for drop in found.dropped] == [("model-1", "breaker_open")]
    assert "breaker open" in found.dropped[0].reason


async def _ask(one: DynamicLLMClient, ask: Ask) -> str:
    intent = one._intent(ask)
    result = await one.call(ask, read_chat_request("x", {}, "openai.chat"), principal=one.principal, intent=intent)
    return result.reply


async def test_an_open_breaker_alone_is_a_503_that_says_when(upstream: Upstream) -> None:
    upstream.on("POST", CHAT, raw(Hangup()))
    one, book = client(entry(upstream, 1)), Book()
    for _ in range(FAILURES_IN_A_ROW):
        with pytest.raises(LLMError):
            await one.generate("x", model="model-1")
    asked = len(upstream.requests)
    one.ledger = book
    with pytest.raises(NoCandidateError) as caught:
        await one.generate("x", model="model-1")
    assert (caught.value.status, caught.value.code) == (503, "breaker_open")
    assert caught.value.retry_after_s
    assert len(upstream.requests) == asked
    assert (book.settlement.state, book.settlement.error_code) == ("rejected", "breaker_open")


async def test_a_provider_in_trouble_gets_few_retries(upstream: Upstream) -> None:
    """Twenty calls, each failing once in two: not more than the budget's retries, whatever each call would like."""
    upstream.on("POST", CHAT, *[BUSY, FINE, BUSY, BUSY, FINE] * 4)
    one = client(entry(upstream, 1))
    calls = 12
    for _ in range(calls):
        try:
            await one.generate("x", model="model-1")
        except LLMError:
            pass
    assert len(upstream.requests) <= calls + RETRY_FLOOR + calls * 0.2 + 1


async def test_the_same_provider_is_not_asked_with_each_key_when_it_is_down(upstream: Upstream) -> None:
    """Two models at one dead address: the second is a retry there and takes from its budget."""
    upstream.on("POST", CHAT, BUSY)
    one = client(*(entry(upstream, number, tier="standard") for number in range(1, 9)))
    with pytest.raises(LLMError):
        await one.generate("x", tier="standard")
    assert len(upstream.requests) <= 1 + RETRY_FLOOR


async def test_a_request_that_is_wrong_is_tried_once(upstream: Upstream) -> None:
    upstream.on("POST", CHAT, json_answer({"error": {"message": "no such field"}}, status=400))
    with pytest.raises(LLMError) as caught:
        await client(entry(upstream, 1), entry(upstream, 2)).generate("x", model="model-1")
    assert (caught.value.status, len(upstream.requests)) == (400, 1)


async def test_a_stream_is_tried_again_before_its_first_event_and_never_after(upstream: Upstream) -> None:
    first = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'
    last = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    cut = chunked(first, Hangup(), end=False)
    upstream.on("POST", CHAT, raw(Hangup()), sse([first, last, b"data: [DONE]\n\n"]), cut)
    one = client(entry(upstream, 1))
    assert len([event async for event in one.stream("x", model="model-1")]) >= 2
    assert len(upstream.requests) == 2
    with pytest.raises(LLMError):
        _ = [event async for event in one.stream("x", model="model-1")]
    assert len(upstream.requests) == 3


async def test_a_caller_that_leaves_while_a_retry_waits_is_settled_as_aborted(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "FIRST_PAUSE_S", 3600)
    upstream.on("POST", CHAT, BUSY)
    book = Book()
    call = asyncio.create_task(client(entry(upstream, 1), book=book).generate("x", model="model-1"))
    await asyncio.to_thread(upstream.wait_for, lambda seen: bool(seen.requests))
    while book.kinds != ["open", "close"]:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert book.settlement.state == "aborted"
