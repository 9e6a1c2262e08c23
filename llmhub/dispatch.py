"""Splits requests between the lane and Django by path alone, and refuses bodies that Django would spool to disk."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Sequence
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


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BodyTooLarge(Exception):
    """More bytes arrived than a body may have."""


class BodyTooSlow(Exception):
    """The body took longer than a body may take."""


def is_lane_path(path: str) -> bool:
    return path.startswith(LANE_PREFIX) or path.removesuffix("/") in LANE_PATHS


def build_application(
    *, lane: Any, pages: Any, max_body_bytes: int, body_timeout_s: float = 60, trusted_proxies: Sequence[str] = ()
) -> ASGI3Application:
    """One ASGI callable. The lane bounds its own bodies, because it answers in the caller's dialect.

    `trusted_proxies` are addresses and networks whose X-Forwarded-For is believed, by both faces alike.
    """
    capped_pages = cap_bodies(pages, max_body_bytes, body_timeout_s)
    proxies = tuple(ipaddress.ip_network(text, strict=False) for text in trusted_proxies)

    async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if proxies and scope["type"] == "http":
            scope = client_behind(scope, proxies)
        face = lane if scope["type"] == "http" and is_lane_path(scope["path"]) else capped_pages
        await face(scope, receive, send)

    return application


def client_behind(scope: Any, proxies: Sequence[Network]) -> Any:
    """The scope with the address that asked the outermost proxy of ours: the last one listed that is no proxy.

    What stands before it the client may have written itself.
    """
    client = scope.get("client")
    if not client or not _is_one_of(client[0], proxies):
        return scope
    listed = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    for text in reversed([part.strip() for part in listed.split(",") if part.strip()]):
        try:
            address = str(ipaddress.ip_address(text))
        except ValueError:
            break
        client = (address, 0)
        if not _is_one_of(address, proxies):
            break
    return {**scope, "client": client}


def _is_one_of(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found.version == network.version and found in network for network in networks)


def cap_bodies(inner: Any, max_body_bytes: int, body_timeout_s: float = 60) -> ASGI3Application:
    """Wraps an application so that it reads at most `max_body_bytes`, all of it within `body_timeout_s`.

    The client gets 413 when there is more, 408 when it is slower. Counted while it arrives, since a chunked body
    announces no length and Django writes the whole of it to a temporary file before any view or check of who is asking.
    """

    async def capped(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return
        if _announced_bytes(scope) > max_body_bytes:
            await _refuse(send, max_body_bytes)
            return
        seen_bytes, started, whole = 0, False, False
        deadline = asyncio.get_running_loop().time() + body_timeout_s

        async def counted_receive() -> ASGIReceiveEvent:
            nonlocal seen_bytes, whole
            if whole:  # Django waits here for the client to leave, as long as its answer takes
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    event = await receive()
            except TimeoutError:
                raise BodyTooSlow from None
            if event["type"] == "http.request":
                whole = not event.get("more_body", False)
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
        except BodyTooSlow:
            if not started:
                message = f"The body did not arrive whole within {body_timeout_s:g} s."
                await _answer(send, 408, "body_too_slow", message)

    return capped


def _announced_bytes(scope: Any) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(send: ASGISendCallable, max_body_bytes: int) -> None:
    await _answer(send, 413, "body_too_large", f"The body is larger than {max_body_bytes // (1024 * 1024)} MiB.")


async def _answer(send: ASGISendCallable, status: int, type_: str, message: str) -> None:
    body = json.dumps({"error": {"type": type_, "message": message}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
