"""Splits requests between the lane and Django by path alone, and refuses bodies that Django would spool to disk."""

from __future__ import annotations

import json
from typing import Any

from asgiref.typing import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

LANE_PREFIX = "/v1/"
LANE_PATHS = frozenset({"/v1", "/api/llm/chat", "/api/llm/resolve", "/api/llm/test-call"})


class BodyTooLarge(Exception):
    """More bytes arrived than a body may have."""


def is_lane_path(path: str) -> bool:
    return path.startswith(LANE_PREFIX) or path.removesuffix("/") in LANE_PATHS


def build_application(*, lane: Any, pages: Any, max_body_bytes: int) -> ASGI3Application:
    """One ASGI callable. The lane bounds its own bodies, because it answers in the caller's dialect."""
    capped_pages = cap_bodies(pages, max_body_bytes)

    async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        face = lane if scope["type"] == "http" and is_lane_path(scope["path"]) else capped_pages
        await face(scope, receive, send)

    return application


def cap_bodies(inner: Any, max_body_bytes: int) -> ASGI3Application:
    """Wraps an application so that it reads at most `max_body_bytes`; the client gets 413 when there is more.

    Counted while it arrives, since a chunked body announces no length and Django writes the whole of it to a temporary
    file before any view or check of who is asking.
    """

    async def capped(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return
        if _announced_bytes(scope) > max_body_bytes:
            await _refuse(send, max_body_bytes)
            return
        seen_bytes, started = 0, False

        async def counted_receive() -> ASGIReceiveEvent:
            nonlocal seen_bytes
            event = await receive()
            if event["type"] == "http.request":
                seen_bytes += len(event.get("body", b""))
                if seen_bytes > max_body_bytes:
                    raise BodyTooLarge
            return event

        async def watched_send(event: ASGISendEvent) -> None:
            nonlocal started
            started = True
            await send(event)

        try:
            await inner(scope, counted_receive, watched_send)
        except BodyTooLarge:
            if not started:
                await _refuse(send, max_body_bytes)

    return capped


def _announced_bytes(scope: Any) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(send: ASGISendCallable, max_body_bytes: int) -> None:
    message = f"The body is larger than {max_body_bytes // (1024 * 1024)} MiB."
    body = json.dumps({"error": {"type": "body_too_large", "message": message}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
