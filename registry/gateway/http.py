"""The lane's own small HTTP layer over ASGI: requests, answers, the client's leaving. Knows nothing of models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import orjson
from django.conf import settings

from adapters.errors import InvalidRequestError, LLMError
from registry.gateway.alarms import Alarms
from registry.gateway.draining import ShuttingDown, open_calls

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
WATCH_AFTER_S = 0.1  # of the 200 ms within which a call whose client left is ended


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class BodyTooSlow(InvalidRequestError):
    code = "request_timeout"
    status = 408


class BodyTooLarge(InvalidRequestError):
    code = "request_too_large"
    status = 413


_slow_bodies = Alarms()
_long_calls = Alarms()


class Request:
    """One HTTP request. `headers` has lower-case names; a repeated header keeps its last value."""

    __slots__ = ("_body", "_headers", "_receive", "id", "method", "path", "raw_headers", "scope")

    def __init__(self, scope: Any, receive: Any, request_id: str) -> None:
        self.scope = scope
        self._receive = receive
        self.id = request_id
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.raw_headers: dict[bytes, bytes] = dict(scope["headers"])
        self._headers: dict[str, str] | None = None
        self._body: bytes | None = None

    @property
    def headers(self) -> dict[str, str]:
        if self._headers is None:
            pairs = self.raw_headers.items()
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
        return self._headers

    @property
    def client_address(self) -> str:
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    @property
    def query(self) -> dict[str, str]:
        parsed = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        return {name: values[-1] for name, values in parsed.items()}

    async def body(self) -> bytes:
        """Read the body whole; a second time it is there. Raises BodyTooLarge, BodyTooSlow, ClientGone."""
        if self._body is not None:
            return self._body
        limit: int = settings.LLMHUB_MAX_BODY_BYTES
        if _declared_length(self.raw_headers) > limit:
            raise BodyTooLarge(f"The request is larger than {limit} bytes.")
        deadline_s: int = settings.LLMHUB_BODY_TIMEOUT_S
        here = asyncio.current_task()
        assert here is not None
        late = False

        def ring() -> None:
            nonlocal late
            late = True
            here.cancel()

        _slow_bodies.begin(here, deadline_s, ring)
        try:
            self._body = await self._read(limit)
        except asyncio.CancelledError:
            # Cancelled by the alarm alone: somebody else's cancelling goes on upward.
            if late and here.uncancel() == 0:
                raise BodyTooSlow(f"The request did not arrive whole within {deadline_s} s.") from None
            raise
        finally:
            _slow_bodies.end(here)
        return self._body

    async def _read(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise BodyTooLarge(f"The request is larger than {limit} bytes.")
            pieces.append(piece)
            if not message.get("more_body", False):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def json(self) -> dict[str, Any]:
        """Read the body as a JSON object. Raises InvalidRequestError with a sentence a person understands."""
        body = await self.body()
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequestError(f"The body is not valid JSON: {_first_line(error)}.") from error
        if not isinstance(value, dict):
            raise InvalidRequestError("The body must be a JSON object.")
        return value

    async def gone(self) -> None:
        """Return when the client has left. Call only after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _declared_length(headers: Mapping[bytes, bytes]) -> int:
    text = headers.get(b"content-length", b"")
    return int(text) if text.isdigit() else 0


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rstrip(".")[:200]


class Answer:
    """Writes one answer. `headers` set before `start` go out with it."""

    __slots__ = ("_send", "headers", "started", "status")

    def __init__(self, send: Any, request_id: str) -> None:
        self._send = send
        self.started = False
        self.status = 499  # until one is sent: the client left before
        self.headers: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode())]

    def set(self, name: str, value: str) -> None:
        """Add a header; what no header may hold is left out of the value."""
        self.headers.append((name.encode(), header_safe(value)))

    def add(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Headers that are bytes already."""
        self.headers += pairs

    async def json(self, status: int, body: Any) -> None:
        await self.encoded(status, orjson.dumps(body))

    async def encoded(self, status: int, body: bytes) -> None:
        """A whole JSON body that is bytes already."""
        await self.start(status, (JSON, (b"content-length", b"%d" % len(body))))
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def start(self, status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.started = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *self.headers]})

    async def piece(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": False})


def name_waiting(answer: Answer, error: LLMError) -> None:
    """Say in headers when to ask again, and whether asking again is of any use."""
    if error.retry_after_s is not None:
        answer.set("retry-after", str(max(1, round(error.retry_after_s))))
    for name, value in getattr(error, "headers", ()):
        answer.set(name, value)
    should_retry = getattr(error, "should_retry", None)
    answer.set("x-should-retry", "true" if (error.retryable if should_retry is None else should_retry) else "false")


def header_safe(value: str, longest: int = 300) -> bytes:
    """A header value in visible ASCII, cut at `longest` characters; other characters become `?`."""
    value = value[:longest]
    if value.isascii() and value.isprintable():
        return value.encode()
    return "".join(char if " " <= char <= "~" else "?" for char in value).encode()


async def unless_gone(request: Request, work: Any) -> Any:
    """Await `work`, cancelled at once when the client leaves first; then raises ClientGone after it has ended.

    Raises ShuttingDown when it was cut by the worker's end.
    """
    here = asyncio.current_task()
    assert here is not None
    open_calls.tasks.add(here)
    watch = _Watch(request, here)
    try:
        return await work
    except asyncio.CancelledError:
        # Cancelled by the client's leaving alone: somebody else's cancelling goes on upward.
        if watch.gone and here.uncancel() == 0:
            raise ClientGone from None
        if open_calls.is_cut(here) and here.uncancel() == 0:
            raise ShuttingDown from None
        raise
    finally:
        open_calls.tasks.discard(here)
        open_calls.cut.discard(here)
        watch.end()


class _Watch:
    """Cancels a call when its client leaves. Looks only after a moment: a call that is over by then needs no watch."""

    __slots__ = ("_call", "_over", "_request", "_watching", "gone")

    def __init__(self, request: Request, call: asyncio.Task[Any]) -> None:
        self._request = request
        self._call = call
        self._over = self.gone = False
        self._watching: asyncio.Future[None] | None = None
        _long_calls.begin(self, WATCH_AFTER_S, self._begin)

    def _begin(self) -> None:
        self._watching = asyncio.ensure_future(self._request.gone())
        self._watching.add_done_callback(self._leave)

    def _leave(self, watching: asyncio.Future[None]) -> None:
        if not self._over and not watching.cancelled():
            self.gone = True
            self._call.cancel()

    def end(self) -> None:
        self._over = True  # the callback may be on its way already
        _long_calls.end(self)
        if self._watching is not None:
            self._watching.cancel()
