from __future__ import annotations

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
