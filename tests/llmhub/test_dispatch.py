from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmhub.dispatch import build_application, is_lane_path

LIMIT = 1024 * 1024


@pytest.mark.parametrize(
    ("path", "lane"),
    [
        ("/v1/chat/completions", True),
        ("/v1", True),
        ("/api/llm/chat", True),
        ("/api/llm/chat/", True),
        ("/api/llm/resolve", True),
        ("/api/llm/test-call/", True),
        ("/api/llm/registry", False),
        ("/api/llm/chat/extra", False),
        ("/v1beta/models", False),
        ("/x/v1/models", False),
        ("//v1/models", False),
        ("/", False),
    ],
)
def test_only_call_routes_go_to_the_lane(path: str, lane: bool) -> None:
    assert is_lane_path(path) is lane


async def call(chunks: list[bytes], headers: list[tuple[bytes, bytes]] | None = None) -> tuple[int, int]:
    """(status that the client saw, bytes that the application read)."""
    read_bytes = 0
    sent: list[dict[str, Any]] = []
    pending = [{"type": "http.request", "body": c, "more_body": i + 1 < len(chunks)} for i, c in enumerate(chunks)]

    async def receive() -> dict[str, Any]:
        return pending.pop(0)

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        nonlocal read_bytes
        more = True
        while more:
            event = await receive()
            read_bytes += len(event["body"])
            more = event["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    application: Any = build_application(lane=pages, pages=pages, max_body_bytes=LIMIT)
    await application({"type": "http", "path": "/", "headers": headers or []}, receive, send)
    return sent[0]["status"], read_bytes


async def test_a_body_at_the_limit_passes() -> None:
    assert await call([b"x" * (LIMIT - 1), b"y"]) == (200, LIMIT)


async def test_a_chunked_body_over_the_limit_is_cut_off_and_refused() -> None:
    assert await call([b"x" * LIMIT, b"y", b"z" * LIMIT]) == (413, LIMIT)


async def test_an_announced_body_over_the_limit_is_refused_unread() -> None:
    assert await call([b"x"], [(b"content-length", str(LIMIT + 1).encode())]) == (413, 0)


async def test_a_body_that_trickles_is_given_up() -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    application: Any = build_application(lane=pages, pages=pages, max_body_bytes=LIMIT, body_timeout_s=0.05)
    await application({"type": "http", "path": "/", "headers": []}, receive, send)
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),  # no proxy of ours: what it says is not believed
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.9"], "203.0.113.9"),  # the first one the client wrote itself
        ("10.0.0.1", ["1.2.3.4", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/models"])
async def test_a_forwarded_address_is_believed_of_trusted_proxies_alone(
    path: str, peer: str, forwarded: list[str], seen: str
) -> None:
    found: list[Any] = []

    async def face(scope: Any, receive: Any, send: Any) -> None:
        found.append(scope["client"])

    application: Any = build_application(lane=face, pages=face, max_body_bytes=LIMIT, trusted_proxies=["10.0.0.0/8"])
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    await application({"type": "http", "path": path, "client": (peer, 1), "headers": headers}, None, None)
    assert found[0][0] == seen
