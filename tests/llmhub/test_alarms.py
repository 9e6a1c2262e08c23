"""One timer for many calls that may take too long, and what hangs on it: bodies that arrive too slowly."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from registry.gateway.alarms import Alarms
from registry.gateway.http import BodyTooSlow, ClientGone, Request, unless_gone


def test_alarms_ring_once_each_and_not_for_what_is_over() -> None:
    alarms = Alarms()

    async def run() -> list[str]:
        rung: list[str] = []
        for name, delay_s in (("late", 0.06), ("soon", 0.01), ("over", 0.02)):
            alarms.begin(name, delay_s, partial(rung.append, name))
        alarms.end("over")
        alarms.end("never begun")
        async with asyncio.timeout(20):
            while len(rung) < 2:
                await asyncio.sleep(0.01)
        alarms.begin("left behind", 60, partial(rung.append, "left behind"))
        return sorted(rung)

    assert asyncio.run(run()) == ["late", "soon"]
    assert asyncio.run(run()) == ["late", "soon"]  # another loop begins anew


def request(*messages: dict[str, Any]) -> Request:
    """A request whose client says `messages`, and then nothing more."""
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return Request({"method": "POST", "path": "/", "headers": [(b"a", b"1"), (b"a", b"2")]}, receive, "req_1")


def test_a_body_that_stays_away_is_given_up(settings: Any) -> None:
    settings.LLMHUB_BODY_TIMEOUT_S = 0.05

    async def run() -> None:
        async with asyncio.timeout(10):
            with pytest.raises(BodyTooSlow):
                await request({"type": "http.request", "body": b"{", "more_body": True}).body()
        here = asyncio.current_task()
        assert here is not None and here.cancelling() == 0

    asyncio.run(run())


def test_a_body_is_read_once() -> None:
    async def run() -> bytes:
        one = request({"type": "http.request", "body": b"{}", "more_body": False})
        assert await one.body() == b"{}"
        assert one.headers == {"a": "2"}
        return await one.body()

    assert asyncio.run(run()) == b"{}"


def test_a_client_that_leaves_ends_its_call() -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with asyncio.timeout(10):
            with pytest.raises(ClientGone):
                await unless_gone(request({"type": "http.disconnect"}), work())
        assert ended.is_set()

    asyncio.run(run())
